/* Cython Utility/ImportExport.c, __Pyx_ImportType, called for types of other modules. */
extern long PyType_Size(void *, const char *);
extern int PyErr_Format(void *, const char *, ...);
extern int PyErr_WarnFormat(void *, long, const char *, ...);
extern void *PyExc_ValueError;
__attribute__((noipa)) static void *import_type(void *module, const char *module_name, const char *class_name, unsigned long size, int mode) {
  unsigned long have = PyType_Size(module, class_name);
  if (have < size) {
    PyErr_Format(PyExc_ValueError, "%.200s.%.200s size changed, may indicate binary incompatibility. Expected %zd from C header, got %zd from PyObject", module_name, class_name, size, have);
    return 0;
  }
  if (mode == 0 && have > size) return 0;
  return module;
}
int setup(void *numpy, void *greenlet) {
  if (!import_type(numpy, "numpy", "dtype", 96, 2)) return -1;
  if (!import_type(numpy, "numpy", "ndarray", 80, 2)) return -1;
  if (!import_type(greenlet, "greenlet", "greenlet", 40, 1)) return -1;
  return 0;
}
char id1[] = "\0_cython_3_0_11";
char id2[] = "__pybind11_internals_v5_gcc_libstdcpp_cxxabi1018__";
