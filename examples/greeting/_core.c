/* The extension module: a thin layer over libgreet, for the stable ABI of CPython 3.10 and newer. */
#ifdef HAVE_PYTHON_H
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#else
#include "stable_abi.h"
#endif

#include "greet.h"

static PyObject *core_greet(PyObject *module, PyObject *arguments)
{
    const char *name;
    const char *language = "en";
    char line[256];
    int length;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "s|s:greet", &name, &language))
        return NULL;
    length = greet_line(line, sizeof line, name, language);
    if (length < 0 || (size_t)length >= sizeof line) {
        PyErr_SetString(PyExc_ValueError, "the name is too long for a greeting");
        return NULL;
    }
    return PyUnicode_FromString(line);
}

static PyObject *core_loudness(PyObject *module, PyObject *arguments)
{
    unsigned voices;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "I:loudness", &voices))
        return NULL;
    return PyFloat_FromDouble(greet_loudness(voices));
}

static PyMethodDef methods[] = {
    {"greet", core_greet, METH_VARARGS, "greet(name, language='en')\n--\n\nA greeting."},
    {"loudness", core_loudness, METH_VARARGS, "loudness(voices)\n--\n\nHow loud they are together, in decibels."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "greeting._core", "A thin layer over libgreet.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
