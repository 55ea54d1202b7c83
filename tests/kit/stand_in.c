/* Stands in for Python where there is none for a machine: loads the demo's extension module and calls greet("world"). */
#include "stable_abi.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>

struct _object {
    const char *text;
};

static struct _object result;
PyObject *PyExc_ValueError;

int PyArg_ParseTuple(PyObject *arguments, const char *format, ...)
{
    va_list places;

    (void)format;
    va_start(places, format);
    *va_arg(places, const char **) = arguments->text;
    va_end(places);
    return 1;
}

void PyErr_SetString(PyObject *kind, const char *text)
{
    (void)kind;
    puts(text);
}

PyObject *PyFloat_FromDouble(double value)
{
    (void)value;
    return NULL;
}

PyObject *PyUnicode_FromString(const char *text)
{
    puts(text);
    return &result;
}

PyObject *PyModuleDef_Init(struct PyModuleDef *definition)
{
    return (PyObject *)definition;
}

int main(int count, char **paths)
{
    struct _object arguments = {"world"};
    void *library = count > 1 ? dlopen(paths[1], RTLD_NOW) : NULL;
    PyObject *(*start)(void) = library ? (PyObject *(*)(void))dlsym(library, "PyInit__core") : NULL;

    if (!start) {
        puts(dlerror());
        return 1;
    }
    return ((struct PyModuleDef *)start())->m_methods[0].ml_meth(NULL, &arguments) != &result;
}
