/* The few names of CPython's stable ABI that _core.c uses, for machines that have Python without its headers.
   The layouts are frozen by PEP 384 for every CPython with a global lock. */
#ifndef STABLE_ABI_H
#define STABLE_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef struct _object PyObject;
typedef intptr_t Py_ssize_t;
typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);

typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;

typedef struct {
    Py_ssize_t ob_refcnt;
    void *ob_type;
    PyObject *(*m_init)(void);
    Py_ssize_t m_index;
    PyObject *m_copy;
} PyModuleDef_Base;

typedef struct {
    int slot;
    void *value;
} PyModuleDef_Slot;

struct PyModuleDef {
    PyModuleDef_Base m_base;
    const char *m_name;
    const char *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    PyModuleDef_Slot *m_slots;
    void *m_traverse;
    void *m_clear;
    void *m_free;
};

#define METH_VARARGS 0x0001
#define PyModuleDef_HEAD_INIT {1, NULL, NULL, 0, NULL}
#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject *

extern PyObject *PyExc_ValueError;
extern int PyArg_ParseTuple(PyObject *, const char *, ...);
extern void PyErr_SetString(PyObject *, const char *);
extern PyObject *PyFloat_FromDouble(double);
extern PyObject *PyUnicode_FromString(const char *);
extern PyObject *PyModuleDef_Init(struct PyModuleDef *);

#endif
