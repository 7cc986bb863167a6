"""Builds pyrunc._native._seccomp: libseccomp as pyrunc/seccomp/compile.py uses it, and seccomp.c."""
from __future__ import annotations

from cffi import FFI

ffibuilder = FFI()
ffibuilder.cdef("""
typedef void *scmp_filter_ctx;
struct scmp_version { unsigned major, minor, micro; };
struct scmp_arg_cmp { unsigned arg; int op; uint64_t datum_a, datum_b; ...; };

const struct scmp_version *seccomp_version(void);
unsigned seccomp_api_get(void);
scmp_filter_ctx seccomp_init(uint32_t action);
void seccomp_release(scmp_filter_ctx filter);
uint32_t seccomp_arch_native(void);
uint32_t seccomp_arch_resolve_name(const char *name);
int seccomp_arch_add(scmp_filter_ctx filter, uint32_t arch);
int seccomp_arch_remove(scmp_filter_ctx filter, uint32_t arch);
int seccomp_merge(scmp_filter_ctx into, scmp_filter_ctx from);
int seccomp_attr_set(scmp_filter_ctx filter, int attribute, uint32_t value);
int seccomp_syscall_resolve_name(const char *name);
int seccomp_syscall_resolve_name_arch(uint32_t arch, const char *name);
int seccomp_syscall_resolve_name_rewrite(uint32_t arch, const char *name);
char *seccomp_syscall_resolve_num_arch(uint32_t arch, int number);     /* to be freed */
void free(void *);
int seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int syscall, unsigned count,
                           const struct scmp_arg_cmp *conditions);

#define SCMP_FLTATR_CTL_OPTIMIZE ...
#define __NR_SCMP_ERROR ...

int pr_seccomp_export(scmp_filter_ctx filter, void *program, size_t size);  /* bytes, or -1 with errno */
""")
ffibuilder.set_source("pyrunc._native._seccomp", """
#include <seccomp.h>
#include <stdlib.h>
int pr_seccomp_export(scmp_filter_ctx filter, void *program, size_t size);
""", sources=["pyrunc/_native/seccomp.c"], libraries=["seccomp"], extra_compile_args=["-O2", "-Wall", "-Wextra"])

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
