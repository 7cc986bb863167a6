/* last_ids.c: capabilities and ids, set and read back. System calls only: the C library's wrappers are made for
 * threads, and some of them load files. */
#include "last_stage.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/sysmacros.h>

enum { EFFECTIVE, PERMITTED, INHERITABLE, SETS };

/* Capabilities that this kernel knows: beyond the last one, PR_CAPBSET_READ fails. */
static uint64_t known_capabilities(void)
{
    unsigned last = CAP_LAST_CAP;
    while (last < 63 && prctl(PR_CAPBSET_READ, last + 1, 0, 0, 0) >= 0)
        last++;
    while (last > 0 && prctl(PR_CAPBSET_READ, last, 0, 0, 0) < 0)
        last--;
    return ~(uint64_t)0 >> (63 - last);
}

int drop_bounding(uint64_t keep)
{
    for (unsigned capability = 0; capability < 64; capability++) {
        int has = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (has < 0)
            break;
        if (has && !(keep >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return -1;
    }
    return 0;
}

int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(effective >> 32 * half);
        data[half].permitted = (uint32_t)(permitted >> 32 * half);
        data[half].inheritable = (uint32_t)(inheritable >> 32 * half);
    }
    return (int)syscall(SYS_capset, &header, data);
}

static int get_capabilities(uint64_t sets[SETS])
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { 0 } };
    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    sets[EFFECTIVE] = data[0].effective | (uint64_t)data[1].effective << 32;
    sets[PERMITTED] = data[0].permitted | (uint64_t)data[1].permitted << 32;
    sets[INHERITABLE] = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return 0;
}

int set_ambient(uint64_t raise)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -1;
    for (unsigned capability = 0; capability < 64; capability++)
        if (raise >> capability & 1)
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    return 0;
}

/* The container's user gets its stdio, as with runc, except where that would be everybody's /dev/null, or where the
 * file's owner cannot be changed from here (not mapped, read-only). */
int own_stdio(uint32_t uid)
{
    for (int fd = 0; fd <= 2; fd++) {
        struct stat file;
        if (fstat(fd, &file) < 0)
            return -1;
        if (file.st_uid == uid || (S_ISCHR(file.st_mode) && file.st_rdev == makedev(1, 3)))
            continue;
        if (fchown(fd, uid, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM && errno != EROFS)
            return -1;
    }
    return 0;
}

/* ---- reading back ---- */

static int differs(struct line *text, const char *what, uint64_t is, uint64_t wanted, unsigned base)
{
    say(text, "refusing to start: ");
    say(text, what);
    say(text, " ");
    say_number(text, is, base);
    say(text, ", not ");
    say_number(text, wanted, base);
    errno = EPERM;
    return -1;
}

/* What cannot be read back cannot be verified. Only our own filter, loaded before (no_new_privs was not asked for),
 * may be the reason: it was made for the container's programs, which may well not need such calls. */
static int unreadable(const char *what, int filtered, struct line *text)
{
    if (filtered && (errno == EPERM || errno == ENOSYS || errno == EACCES))
        return 0;
    say(text, "read back ");
    say(text, what);
    return -1;
}

static int verify_ids(const char *what, long call, uint32_t wanted, int filtered, struct line *text)
{
    uint32_t ids[3] = { 0 };
    if (syscall(call, &ids[0], &ids[1], &ids[2]) < 0)
        return unreadable("the ids", filtered, text);
    for (int i = 0; i < 3; i++)
        if (ids[i] != wanted)
            return differs(text, what, ids[i], wanted, 10);
    return 0;
}

static int verify_groups(const struct packed_verify *wanted, uint32_t groups[NGROUPS_MAX], int filtered, struct line *text)
{
    long n = syscall(SYS_getgroups, NGROUPS_MAX, groups);
    if (n < 0)
        return unreadable("the groups", filtered, text);
    if ((uint64_t)n != wanted->group_count)
        return differs(text, "number of groups is", (uint64_t)n, wanted->group_count, 10);
    /* The kernel sorts them by their numbers outside of the user namespace, usually the same order as ours. */
    for (uint32_t i = 0; i < wanted->group_count; i++) {
        uint32_t at = groups[i] == wanted->groups[i] ? i : 0;
        while (at < wanted->group_count && groups[at] != wanted->groups[i])
            at++;
        if (at == wanted->group_count)
            return differs(text, "one group is", groups[i], wanted->groups[i], 10);
    }
    return 0;
}

static int verify_capabilities(const struct packed_verify *wanted, int filtered, struct line *text)
{
    uint64_t sets[SETS], known = known_capabilities(), bounding = 0, ambient = 0;
    if (get_capabilities(sets) < 0)
        return unreadable("the capabilities", filtered, text);
    uint64_t possible = sets[PERMITTED] & sets[INHERITABLE];       /* ambient ones are always among these */
    for (unsigned capability = 0; capability < 64 && known >> capability & 1; capability++) {
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) > 0)
            bounding |= (uint64_t)1 << capability;
        if (possible >> capability & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) > 0)
            ambient |= (uint64_t)1 << capability;
    }
    if (sets[EFFECTIVE] != (wanted->effective & known))
        return differs(text, "effective capabilities are", sets[EFFECTIVE], wanted->effective & known, 16);
    if (sets[PERMITTED] != (wanted->permitted & known))
        return differs(text, "permitted capabilities are", sets[PERMITTED], wanted->permitted & known, 16);
    if (sets[INHERITABLE] != (wanted->inheritable & known))
        return differs(text, "inheritable capabilities are", sets[INHERITABLE], wanted->inheritable & known, 16);
    if (bounding & ~wanted->bounding)
        return differs(text, "bounding capabilities are", bounding, wanted->bounding, 16);
    if (ambient & ~wanted->ambient)
        return differs(text, "ambient capabilities are", ambient, wanted->ambient, 16);
    return 0;
}

/* Whether there is one thread only. Without a filter of ours, because few filters allow unshare; under a filter of
 * the caller the answer may be EPERM, which says nothing. */
static int verify_single(struct line *text)
{
    if (unshare(CLONE_THREAD) < 0 && errno == EINVAL) {
        say(text, "refusing to start: there is more than one thread");
        errno = EPERM;
        return -1;
    }
    return 0;
}

int verify(const struct packed_verify *wanted, uint32_t groups[NGROUPS_MAX], int filtered, struct line *text)
{
    if (wanted->what & VERIFY_IDS
        && (verify_ids("user id is", SYS_getresuid, wanted->uid, filtered, text) < 0
            || verify_ids("group id is", SYS_getresgid, wanted->gid, filtered, text) < 0))
        return -1;
    if (wanted->what & VERIFY_GROUPS && verify_groups(wanted, groups, filtered, text) < 0)
        return -1;
    if (wanted->what & VERIFY_CAPABILITIES && verify_capabilities(wanted, filtered, text) < 0)
        return -1;
    if (wanted->no_new_privs && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return differs(text, "no_new_privs is", 0, 1, 10);
    if (wanted->seccomp) {
        int mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
        if (mode != SECCOMP_MODE_FILTER)
            return differs(text, "seccomp mode is", (uint64_t)(mode < 0 ? 0 : mode), SECCOMP_MODE_FILTER, 10);
    }
    return filtered ? 0 : verify_single(text);
}
