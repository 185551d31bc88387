/* numpy/core/code_generators/generate_numpy_api.py (1.x), reduced to what is compiled into a user of the headers. */
#include <stddef.h>
extern void *PyImport_ImportModule(const char *);
extern int PyErr_Format(void *, const char *, ...);
extern void *PyExc_RuntimeError;
extern void **PyArray_API;

int import_array(void) {
  void *numpy = PyImport_ImportModule("numpy.core._multiarray_umath");
  if (!numpy) return -1;
  unsigned v = ((unsigned (*)(void))PyArray_API[0])();
  if (v != 0x01000009) {
    PyErr_Format(PyExc_RuntimeError, "module compiled against ABI version 0x%x but this version of numpy is 0x%x", 0x01000009, v);
    return -1;
  }
  unsigned f = ((unsigned (*)(void))PyArray_API[211])();
  if (LEVEL > f) {
    PyErr_Format(PyExc_RuntimeError, "module compiled against API version 0x%x but this version of numpy is 0x%x", LEVEL, f);
    return -1;
  }
  return 0;
}
