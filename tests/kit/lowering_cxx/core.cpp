// The extension module, which throws through libwork and catches what comes back.
extern "C" {
#include "stable_abi.h"
}
#include "trouble.hpp"

static void step(int depth)
{
    if (depth == 4)
        throw DeepTrouble("from the extension", depth);
    throw_trouble(depth);
}

static PyObject *run(PyObject *, PyObject *arguments)
{
    const char *task;
    if (!PyArg_ParseTuple(arguments, "s:run", &task))
        return nullptr;
    try {
        return PyUnicode_FromString(work(task, step).c_str());
    } catch (const std::exception &error) {
        auto trouble = dynamic_cast<const Trouble *>(&error);
        PyErr_SetString(PyExc_ValueError, ((trouble ? trouble->kind() + ": " : "") + error.what()).c_str());
        return nullptr;
    }
}

static PyMethodDef methods[] = {{"run", run, METH_VARARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef_Slot slots[] = {{0, nullptr}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_core", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

extern "C" PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
