/* usual.c: what is usually done below a container's root, each in one call: a new file system on a directory, a device
 * node, a path that becomes read-only or is masked.
 *
 * Where something is not as usual, or fails, it is taken back, and -1 says that nothing has been done. Whoever asked then
 * goes the same way step by step (pyrunc/rootfs, pyrunc/steps), which knows what to do and what to say. So nothing here
 * tells faults apart. Only if it cannot be taken back, NOT_UNDONE says so: the steps would take what is left for the
 * container's own. The rules are those of rootfs/destination.py: what exists is opened by openat2(2), which keeps links
 * and ".." inside the root; what is missing is made on the descriptor of the directory above. */
#include "system.h"

#include <limits.h>
#include <linux/magic.h>
#include <sys/statfs.h>

enum { IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, PLACE = O_PATH | O_NOFOLLOW, NOT_UNDONE = -2 };

static int find(int root, const char *path, uint64_t flags, uint64_t resolve)
{
    return pr_openat2(root, path, O_PATH | flags, 0, IN_ROOT | resolve);
}

/* The directory above a path, and its last name; -1 for the root itself and for a path that is too long. */
static int find_above(int root, const char *path, uint64_t resolve, const char **name)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || !slash[1] || slash - path >= PATH_MAX)
        return -1;
    memcpy(above, path, (size_t)(slash - path));
    above[slash - path] = 0;
    *name = slash + 1;
    return find(root, slash == path ? "/" : above, O_DIRECTORY, resolve);
}

static int type_of(int fd)
{
    struct stat found;
    return fstat(fd, &found) < 0 ? 0 : (int)(found.st_mode & S_IFMT);
}

/* Whether fd is the root, or that cannot be told. */
static int is_root(int root, int fd)
{
    struct statx one, other;
    return statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &one) < 0 ||
           statx(root, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &other) < 0 ||
           !(one.stx_mask & other.stx_mask & STATX_MNT_ID) ||
           (one.stx_ino == other.stx_ino && one.stx_dev_major == other.stx_dev_major &&
            one.stx_dev_minor == other.stx_dev_minor && one.stx_mnt_id == other.stx_mnt_id);
}

static int attach(int mount, int place)
{
    return pr_move_mount(mount, place, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* ---- a new file system ---- */

struct made {
    int above;                  /* the directory in which a name was made; -1: it was there */
    const char *name;
};

/* Another process may have put something else there: then it is no longer ours. */
static int take_back(int above, const char *name, int flags)
{
    if (unlinkat(above, name, flags) == 0 || errno == ENOENT || errno == ENOTDIR || errno == EISDIR)
        return -1;
    return NOT_UNDONE;
}

/* Where it goes: what is there, or a directory that is made in one that is there. */
static int place_of_mount(int root, const char *path, unsigned how, struct made *made)
{
    uint64_t resolve = how & USUAL_NO_LINKS ? RESOLVE_NO_SYMLINKS : 0;
    int place = find(root, path, how & USUAL_NO_LINKS ? O_DIRECTORY : 0, resolve);
    if (place < 0 && errno == ENOENT && (made->above = find_above(root, path, resolve, &made->name)) >= 0) {
        if (mkdirat(made->above, made->name, 0755) < 0) {
            close(made->above);
            made->above = -1;
            return -1;
        }
        place = openat(made->above, made->name, PLACE | O_DIRECTORY | O_CLOEXEC);
    }
    if (place < 0 || how & USUAL_NO_LINKS)
        return place;
    int64_t fs = how & USUAL_IN_PROC ? 0 : pr_fs_type(place);
    if (fs >= 0 && fs != PROC_SUPER_MAGIC && type_of(place) == S_IFDIR && !is_root(root, place))
        return place;
    close(place);
    return -1;
}

/* Each option is 's', key NUL, value NUL, or 'f', key NUL; an empty string ends them. */
static int configure(int fs, const char *option)
{
    while (*option) {
        const char *key = option + 1, *value = *option == 's' ? key + strlen(key) + 1 : NULL;
        if (pr_fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0) < 0)
            return -1;
        option = value ? value : key;
        option += strlen(option) + 1;
    }
    return pr_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

/* The mode of the directory that is covered, as an option. */
static int copy_mode(int fs, int place)
{
    struct stat covered;
    if (fstat(place, &covered) < 0)
        return -1;
    char mode[] = { '0' + (covered.st_mode >> 9 & 7), '0' + (covered.st_mode >> 6 & 7), '0' + (covered.st_mode >> 3 & 7),
                    '0' + (covered.st_mode & 7), 0 };
    return pr_fsconfig(fs, FSCONFIG_SET_STRING, "mode", mode, 0);
}

int pr_usual_mount(int root, const char *path, const char *kind, const char *options, uint64_t attributes, unsigned how)
{
    struct made made = { -1, NULL };
    int mount = -1, place = place_of_mount(root, path, how, &made);
    int fs = place < 0 ? -1 : pr_fsopen(kind);
    if (fs >= 0) {
        if ((!(how & USUAL_COPY_MODE) || made.above >= 0 || copy_mode(fs, place) == 0) && configure(fs, options) == 0)
            mount = pr_fsmount(fs, (unsigned)attributes);
        close(fs);
    }
    if (mount >= 0 && attach(mount, place) < 0) {
        close(mount);
        mount = -1;
    }
    if (place >= 0)
        close(place);
    if (made.above >= 0 && mount < 0)
        mount = take_back(made.above, made.name, AT_REMOVEDIR);
    if (made.above >= 0)
        close(made.above);
    if (mount >= 0 && !(how & USUAL_KEEP)) {
        close(mount);
        return 0;
    }
    return mount;
}

/* ---- a device node ---- */

static int is_node(const struct stat *found, uint32_t mode, uint64_t device)
{
    return !((found->st_mode ^ mode) & S_IFMT) && (S_ISFIFO(mode) || found->st_rdev == device);
}

/* By the descriptor, and only of what is what was made: the directory is the container's. */
static int finish_node(int node, uint32_t mode, uint64_t device, uint32_t uid, uint32_t gid)
{
    struct stat found;
    return fstat(node, &found) < 0 || !is_node(&found, mode, device) || pr_empty_path_chmod(node, mode & 07777, -1) < 0 ||
           pr_fchown(node, uid, gid) < 0 ? -1 : 0;
}

int pr_usual_node(int root, const char *path, uint32_t mode, uint64_t device, uint32_t uid, uint32_t gid)
{
    const char *name;
    struct stat left;
    int done = -1, above = find_above(root, path, 0, &name);
    if (above >= 0 && mknodat(above, name, mode, device) == 0) {
        int node = openat(above, name, PLACE | O_CLOEXEC);
        if (node >= 0) {
            done = finish_node(node, mode, device, uid, gid);
            close(node);
        }
        if (done < 0 && fstatat(above, name, &left, AT_SYMLINK_NOFOLLOW) < 0)
            done = errno == ENOENT ? -1 : NOT_UNDONE;
        else if (done < 0 && is_node(&left, mode, device))
            done = take_back(above, name, 0);
    }
    if (above >= 0)
        close(above);
    return done;
}

/* ---- paths ---- */

static int cover(int mount, int place)
{
    int failed = attach(mount, place);
    close(mount);
    return failed;
}

/* 1 when there is nothing at the path. */
static int place_of_path(int root, const char *path, int *place)
{
    *place = find(root, path, 0, 0);
    if (*place < 0)
        return errno == ENOENT || errno == ENOTDIR ? 1 : -1;
    if (!is_root(root, *place))
        return 0;
    close(*place);
    return -1;
}

int pr_usual_readonly(int root, const char *path)
{
    int place, failed = place_of_path(root, path, &place);
    if (failed)
        return failed < 0 ? -1 : 0;
    int mount = pr_open_tree(place, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH);
    failed = mount < 0 ? -1 : 0;
    if (mount >= 0 && pr_mount_setattr(mount, 0, MOUNT_ATTR_RDONLY, 0, 0, -1) < 0) {
        close(mount);
        failed = -1;
    }
    if (!failed)
        failed = cover(mount, place);
    close(place);
    return failed;
}

int pr_usual_mask(int root, const char *path, int file, int directory)
{
    int place, failed = place_of_path(root, path, &place);
    if (failed)
        return failed < 0 ? -1 : 0;
    int type = type_of(place), pattern = type == S_IFDIR ? directory : file;
    int mount = type && pattern >= 0 ? pr_open_tree(pattern, "", OPEN_TREE_CLONE | AT_EMPTY_PATH) : -1;
    failed = mount < 0 ? -1 : cover(mount, place);
    close(place);
    return failed;
}
