/* files.c: files by descriptor. A path, where there is one, is relative to a descriptor of the caller. */
#include "system.h"

#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

int pr_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
    return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

int64_t pr_fs_type(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 ? -1 : (int64_t)(uint32_t)fs.f_type;
}

int pr_fs_flags(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 ? -1 : (int)fs.f_flags;
}

int pr_mount_id(int fd)
{
    struct statx file;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &file) < 0)
        return -1;
    if (!(file.stx_mask & STATX_MNT_ID)) {
        errno = ENOSYS;
        return -1;
    }
    return (int)file.stx_mnt_id;
}

int pr_fchown(int fd, uint32_t uid, uint32_t gid)
{
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

/* Before Linux 6.6 the mode of what an O_PATH descriptor refers to can only be changed through a magic link. The
 * procfs it is looked up in is checked, because the runtime may live where somebody has mounted over /proc. */
static int chmod_by_magic_link(int fd, uint32_t mode, int proc_fd)
{
    char link[32];
    int own = -1, result = -1;
    if (proc_fd < 0)
        proc_fd = own = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return -1;
    snprintf(link, sizeof link, "self/fd/%d", fd);
    if (pr_fs_type(proc_fd) == PROC_SUPER_MAGIC)
        result = fchmodat(proc_fd, link, mode, 0);
    else
        errno = EXDEV;
    if (own >= 0) {
        int cause = errno;
        close(own);
        errno = cause;
    }
    return result;
}

int pr_empty_path_chmod(int fd, uint32_t mode, int proc_fd)
{
    int result = (int)syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH);
    if (result < 0 && errno == ENOSYS)
        result = chmod_by_magic_link(fd, mode, proc_fd);
    return result;
}
