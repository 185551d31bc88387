/* The same of numpy/_core/code_generators/generate_numpy_api.py (2.x). */
#include <stddef.h>
extern void *PyImport_ImportModule(const char *);
extern int PyErr_Format(void *, const char *, ...);
extern void *PyExc_RuntimeError;
extern void **PyArray_API;

int import_array(void) {
  void *numpy = PyImport_ImportModule("numpy._core._multiarray_umath");
  if (!numpy) numpy = PyImport_ImportModule("numpy.core._multiarray_umath");
  unsigned v = ((unsigned (*)(void))PyArray_API[0])();
  if (0x02000000 < v) {
    PyErr_Format(PyExc_RuntimeError, "module compiled against ABI version 0x%x but this version of numpy is 0x%x", 0x02000000, v);
    return -1;
  }
  unsigned f = ((unsigned (*)(void))PyArray_API[211])();
  if (LEVEL > f) {
    PyErr_Format(PyExc_RuntimeError, "module was compiled against NumPy C-API version 0x%x (NumPy 1.20) but the running NumPy has C-API version 0x%x. Check the section", LEVEL, f);
    return -1;
  }
  return 0;
}
