/* sealed_image.c: executing a program so that its file cannot be written through /proc/<pid>/exe.
 *
 * The kernel refuses to write a running program's file, but only while it runs: a process of the container can keep
 * /proc/<pid>/exe of the runtime open until the runtime is gone and then overwrite the host's file (CVE-2019-5736). So
 * the image must not be the host's inode, nor anything writable. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif
enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

/* An overlayfs that was never mounted has no path: the kernel then shows the file as if it lay in "/". A read-only
 * overlayfs that is mounted, such as the root of a container we are in, may well have a writable one below. */
static bool is_detached(int image)
{
    char path[PATH_MAX];
    struct stat here, there;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 1)
        return false;
    path[length] = 0;
    return !strchr(path + 1, '/') && !fstat(image, &here) &&
           (stat(path, &there) || here.st_dev != there.st_dev || here.st_ino != there.st_ino);
}

static bool exe_is_sealed(void)
{
    int image = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (image < 0)
        return false;
    struct statfs fs;
    int seals = fcntl(image, F_GET_SEALS);      /* EINVAL for anything but a memfd (and files on tmpfs: one seal) */
    bool sealed = seals >= 0 ? (seals & SEALS) == SEALS
                             : !fstatfs(image, &fs) && fs.f_type == OVERLAYFS_SUPER_MAGIC &&
                               (fs.f_flags & ST_RDONLY) && is_detached(image);
    close(image);
    return sealed;
}

bool image_is_sealed(void)
{
    /* So the kernel names what is executed by descriptor; any other start is answered without a system call. */
    const char *name = (const char *)getauxval(AT_EXECFN);
    return name && !strncmp(name, "/dev/fd/", 8) && exe_is_sealed();
}

/* overlayfs with lower layers only is read-only for everyone and for ever. It takes at least two of them. */
static int open_in_overlay(const char *path, const char *beside)
{
    char layers[2 * PATH_MAX];
    const char *name = strrchr(path, '/') + 1;
    int image = -1, mount = -1;

    if (strpbrk(path, ":,\\") || strpbrk(beside, ":,\\"))
        return -1;                              /* they separate and quote layers */
    snprintf(layers, sizeof layers, "%.*s:%s", (int)(name - 1 - path), path, beside);
    int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -1;
    if (!fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", layers, 0) && !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        mount = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (mount >= 0) {
        image = openat(mount, name, O_RDONLY | O_CLOEXEC);
        close(mount);
    }
    close(fs);
    return image;
}

/* The kernel waits 0.15 s for whoever else uses a page at the moment, its own migration of pages say, and gives up then
 * (EBUSY). On a machine under load that is no time. */
enum { TRIES = 20 };

static bool seal(int image)
{
    int refused = -1;
    for (int tries = 0; refused && tries < TRIES; tries++)
        if ((refused = fcntl(image, F_ADD_SEALS, SEALS)) && errno != EBUSY)
            break;
    return !refused;
}

static int copy_to_memory(const char *path)
{
    struct stat status;
    int source = open(path, O_RDONLY | O_CLOEXEC);
    if (source < 0 || fstat(source, &status))
        return -1;
    int image = memfd_create("pyrunc", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (image < 0 && errno == EINVAL)           /* Linux before 6.3 */
        image = memfd_create("pyrunc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (image < 0)
        return -1;
    for (off_t left = status.st_size; left > 0;) {
        ssize_t copied = sendfile(image, source, NULL, (size_t)left);
        if (copied <= 0)
            return -1;
        left -= copied;
    }
    close(source);
    if (fchmod(image, 0555) || !seal(image))
        return -1;
    /* A descriptor open for writing cannot be executed (ETXTBSY). */
    char again[32];
    snprintf(again, sizeof again, "/proc/self/fd/%d", image);
    int readable = open(again, O_RDONLY | O_CLOEXEC);
    close(image);
    return readable;
}

int sealed_image_open(const char *path, const char *beside)
{
    int image = open_in_overlay(path, beside);
    return image >= 0 ? image : copy_to_memory(path);
}

/* ---- without a second start: this process's own program becomes the image's ---- */

/* An overlayfs shows the file below with its number and times; one that has taken its place since has others. */
static bool is_same_file(int image)
{
    struct stat here, there;
    return !stat("/proc/self/exe", &here) && !fstat(image, &there) && here.st_ino == there.st_ino &&
           here.st_size == there.st_size && here.st_mtim.tv_sec == there.st_mtim.tv_sec &&
           here.st_mtim.tv_nsec == there.st_mtim.tv_nsec && here.st_ctim.tv_sec == there.st_ctim.tv_sec &&
           here.st_ctim.tv_nsec == there.st_ctim.tv_nsec;
}

extern const ElfW(Ehdr) __ehdr_start;
extern char **environ;

/* Makes a file /proc/self/exe (prctl(2)). What else the kernel takes with it is where this program's parts are, which it
 * knows. Whoever may checkpoint may do so, also in a user namespace. */
static int set_exe(int file, char **argv)
{
    struct prctl_mm_map map = { .brk = (uintptr_t)sbrk(0), .exe_fd = (uint32_t)file };
    const ElfW(Phdr) *part = (const void *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
    for (const ElfW(Phdr) *end = part + __ehdr_start.e_phnum; part < end; part++) {
        if (part->p_type == PT_LOAD && part->p_flags & PF_X) {
            map.start_code = part->p_vaddr;
            map.end_code = part->p_vaddr + part->p_filesz;
        }
        if (part->p_type == PT_LOAD && part->p_flags & PF_W) {
            map.start_data = part->p_vaddr;
            map.end_data = part->p_vaddr + part->p_filesz;
        }
    }
    map.start_brk = map.brk;            /* nothing has been allocated yet */
    map.start_stack = (uintptr_t)(argv - 1);
    /* The kernel has laid the arguments, the environment and the program's name one behind the other. */
    map.arg_start = (uintptr_t)argv[0];
    map.env_end = getauxval(AT_EXECFN);
    map.env_start = map.arg_end = *environ ? (uintptr_t)environ[0] : map.env_end;
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

bool can_seal_in_place(int image, char **argv)
{
    struct statfs fs;
    /* Of a descriptor that is none a kernel says that, after it has looked whether we may (EPERM). */
    return !fstatfs(image, &fs) && fs.f_type == OVERLAYFS_SUPER_MAGIC && is_same_file(image) && set_exe(INT_MAX, argv) &&
           errno == EBADF;
}

/* The same bytes at the same place, of no file. */
static bool copy_in_place(uintptr_t from, size_t size)
{
    void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return false;
    memcpy(copy, (const void *)from, size);
    return !mprotect(copy, size, PROT_READ) &&
           mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)from) == (void *)from;
}

bool seal_in_place(int image, char **argv, uintptr_t replaced)
{
    const ElfW(Phdr) *part = (const void *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (const ElfW(Phdr) *end = part + __ehdr_start.e_phnum; part < end; part++) {
        uintptr_t from = part->p_vaddr & -page, to = part->p_vaddr + part->p_memsz;
        if (part->p_type != PT_LOAD)
            continue;
        if (!(part->p_flags & PF_W)) {
            int how = PROT_READ | (part->p_flags & PF_X ? PROT_EXEC : 0);
            if (mmap((void *)from, to - from, how, MAP_PRIVATE | MAP_FIXED, image,
                     (off_t)(part->p_offset & -page)) != (void *)from)
                return false;
        } else if (from < replaced && !copy_in_place(from, replaced - from)) {
            return false;
        }
    }
    /* The kernel refuses while anything of the former file is still mapped (EBUSY). */
    if (set_exe(image, argv) || !exe_is_sealed())
        return false;
    prctl(PR_SET_NAME, "pyrunc");       /* as a second start is named */
    return true;
}
