// Another wheel's extension module: its C++ runtime is that of the system.
extern "C" {
#include "stable_abi.h"
}
#include <sstream>
#include <stdexcept>

static PyObject *run(PyObject *, PyObject *)
{
    std::ostringstream stream;
    try {
        throw std::runtime_error(std::string("other")); // from characters alone: a newer function
    } catch (const std::exception &error) {
        stream << error.what() << " " << 0.5;
    }
    return PyUnicode_FromString(stream.str().c_str());
}

static PyMethodDef methods[] = {{"run", run, METH_VARARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef_Slot slots[] = {{0, nullptr}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_other", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

extern "C" PyMODINIT_FUNC PyInit__other(void) { return PyModuleDef_Init(&definition); }
