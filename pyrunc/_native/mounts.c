/* mounts.c: the mount API of Linux 5.2 and 5.12, and the few uses of mount(2) that it cannot replace. */
#include "system.h"

int pr_open_tree(int dirfd, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}

int pr_move_mount(int from_fd, int to_fd, unsigned flags)
{
    return (int)syscall(SYS_move_mount, from_fd, "", to_fd, "", flags);
}

int pr_fsopen(const char *fstype)
{
    return (int)syscall(SYS_fsopen, fstype, FSOPEN_CLOEXEC);
}

int pr_fsconfig(int fd, unsigned cmd, const char *key, const char *value, int aux)
{
    return (int)syscall(SYS_fsconfig, fd, cmd, key, value, aux);
}

int pr_fsmount(int fd, unsigned attrs)
{
    return (int)syscall(SYS_fsmount, fd, FSMOUNT_CLOEXEC, attrs);
}

int pr_mount_setattr(int fd, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation, int userns_fd)
{
    struct mount_attr attr = { .attr_set = set, .attr_clr = clr, .propagation = propagation };
    if (userns_fd >= 0)
        attr.userns_fd = (uint64_t)userns_fd;
    return (int)syscall(SYS_mount_setattr, fd, "", flags | AT_EMPTY_PATH, &attr, sizeof attr);
}

int pr_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    return (int)syscall(SYS_mount, source, target, type, flags, data);
}

int pr_umount(const char *target, int flags)
{
    return (int)syscall(SYS_umount2, target, flags);
}
