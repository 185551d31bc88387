/* What matters of a module of pybind11: its registry's id, the names of classes, an import by name. Static function: a
   helper like module_::import that only passes the name on. */
extern void *PyImport_ImportModule(const char *);
const char *registry(int n) {
  static const char id[] = ID, class_[] = "\0N4shop3BoxE", common[] = "\0N5Eigen6MatrixE", asks[] = "\0" CONDUIT;
  return n == 0 ? id : n == 1 ? class_ : n == 2 ? common : asks;
}
#ifdef HELPER
__attribute__((noipa)) static void *import_(const char *name) {
  void *found = PyImport_ImportModule(name);
  return found ? found : (void *)registry(0);
}
#else
#define import_ PyImport_ImportModule
#endif
__attribute__((noipa)) static int document(const char *name) { return name[0]; }
void *PyInit__ext(void) {
  void *partner = import_(PARTNER);
  return document("only.mentioned") ? partner : 0;
}
void *PyInit_core(void) { return PyInit__ext(); }
