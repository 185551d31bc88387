/* What Cython 3.1 and older compile into a module that exports C functions (EXPORTS) and one that looks them up (IMPORTS);
   Utility/ImportExport.c, FunctionExport and FunctionImport. SIZE: bytes of the class that the exporter describes. */
extern void *PyCapsule_New(void *, const char *, void *);
extern int PyCapsule_IsValid(void *, const char *);
extern int PyDict_SetItemString(void *, const char *, void *);
extern void *PyDict_GetItemString(void *, const char *);
extern void *PyImport_ImportModule(const char *);
extern void *PyObject_GetAttrString(void *, const char *);
extern int PyErr_Format(void *, const char *, ...);
extern void *PyModule_Create2(void *, int);
extern long PyType_Size(void *, const char *);

#ifdef EXPORTS
static void work(void) {}
static void *capi;
__attribute__((noipa)) static int export_function(const char *name, void (*f)(void), const char *signature) {
  return PyDict_SetItemString(capi, name, PyCapsule_New((void *)f, signature, 0));
}
static struct { long count; void *type; long items; const char *name; long size, item; } class_ = {1, 0, 0, "box.core.Box", SIZE, 0};
void *PyInit_core(void) {
  capi = PyObject_GetAttrString(&class_, "__pyx_capi__");
  if (export_function("fill", work, FILL) < 0) return 0;
  if (export_function("empty_box", work, "void (struct box *)") < 0) return 0;
  return &class_;
}
#endif

#ifdef IMPORTS
static void (*fill)(void), (*empty_box)(void);
__attribute__((noipa)) static int import_function(void *module, const char *name, void (**f)(void), const char *signature) {
  void *d = PyObject_GetAttrString(module, "__pyx_capi__");
  void *found = PyDict_GetItemString(d, name);
  if (!found) { PyErr_Format(d, "%.200s does not export expected C function %.200s", module, name); return -1; }
  if (!PyCapsule_IsValid(found, signature)) {
    PyErr_Format(d, "C function %.200s.%.200s has wrong signature (expected %.500s, got %.500s)", module, name, signature, name);
    return -1;
  }
  *f = (void (*)(void))found;
  return 0;
}
__attribute__((noipa)) static void *import_type(void *module, const char *module_name, const char *class_name, unsigned long size, int mode) {
  if (PyType_Size(module, class_name) < size) {
    PyErr_Format(module, "%.200s.%.200s size changed, may indicate binary incompatibility. Expected %zd from C header, got %zd from PyObject", module_name, class_name, size, 0L);
    return 0;
  }
  return module;
}
void *PyInit__ext(void) {
  void *box = PyImport_ImportModule("box.core");
  if (!box) return 0;
  if (!import_type(box, "box.core", "Box", SIZE, 1)) return 0;
  box = PyImport_ImportModule("box.core");
  if (!box) return 0;
  if (import_function(box, "fill", &fill, FILL) < 0) return 0;
  if (import_function(box, "empty_box", &empty_box, "void (struct box *)") < 0) return 0;
  return box;
}
#endif
