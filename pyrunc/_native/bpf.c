/* bpf.c: BPF_PROG_TYPE_CGROUP_DEVICE programs, the device cgroup of cgroup v2. Descriptors of bpf(2) are O_CLOEXEC. */
#include "system.h"

#include <linux/bpf.h>

static int bpf(int command, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

static uint64_t address(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

int pr_bpf_load_device(const void *insns, unsigned count, char *log, size_t log_size)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = address(insns);
    attr.insn_cnt = count;
    attr.license = address("Apache-2.0");
    int fd = bpf(BPF_PROG_LOAD, &attr);
    if (fd >= 0 || log_size == 0 || errno == EPERM)
        return fd;
    int refused = errno;
    attr.log_buf = address(log);        /* once more, for what the verifier has to say about it */
    attr.log_size = (uint32_t)log_size;
    attr.log_level = 1;
    fd = bpf(BPF_PROG_LOAD, &attr);
    errno = refused;                    /* not the ENOSPC of a log that is longer */
    return fd;
}

int pr_bpf_attach(int cgroup_fd, int prog_fd, int replace_fd)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)cgroup_fd;
    attr.attach_bpf_fd = (uint32_t)prog_fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (replace_fd >= 0) {
        attr.attach_flags |= BPF_F_REPLACE;
        attr.replace_bpf_fd = (uint32_t)replace_fd;
    }
    return bpf(BPF_PROG_ATTACH, &attr);
}

int pr_bpf_detach(int cgroup_fd, int prog_fd)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)cgroup_fd;
    attr.attach_bpf_fd = (uint32_t)prog_fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    return bpf(BPF_PROG_DETACH, &attr);
}

int pr_bpf_query(int cgroup_fd, uint32_t *ids, unsigned max)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.query.target_fd = (uint32_t)cgroup_fd;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = address(ids);
    attr.query.prog_cnt = max;
    return bpf(BPF_PROG_QUERY, &attr) < 0 ? -1 : (int)attr.query.prog_cnt;
}

int pr_bpf_by_id(uint32_t id)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_id = id;
    return bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}
