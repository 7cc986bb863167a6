/* last_door.c: a door in the filter, for the few calls by which a process of exec comes into its pid namespace.
 *
 * The filter must be in force by then (last_tail.c), and a strict one refuses clone(2). So in front of it stands: munmap,
 * clone, prlimit64, setsid and ioctl pass if their sixth argument, of which the kernel has no use, is a secret. Nobody knows it when
 * the program runs: it is random, of this one process, and gone with the memory at execve. */
#include "last_stage.h"

#include <linux/seccomp.h>
#include <stddef.h>

#define LOAD(field) { BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(field) }
#define EQUAL(value, yes, no) { BPF_JMP | BPF_JEQ | BPF_K, yes, no, (uint32_t)(value) }
enum { SIXTH = offsetof(struct seccomp_data, args[5]), HALF = 4 };

const struct sock_filter *with_door(struct stage *stage, const struct sock_filter *program, size_t *count)
{
    const struct sock_filter door[] = {
        LOAD(offsetof(struct seccomp_data, nr)),
        EQUAL(SYS_munmap, 4, 0),
        EQUAL(SYS_clone, 3, 0),
        EQUAL(SYS_prlimit64, 2, 0),
        EQUAL(SYS_setsid, 1, 0),
        EQUAL(SYS_ioctl, 0, 5),         /* any other call: behind the door */
        LOAD(SIXTH),
        EQUAL(stage->secret, 0, 3),     /* the halves' order is right on every processor that raw.h knows */
        LOAD(SIXTH + HALF),
        EQUAL(stage->secret >> 32, 0, 1),
        { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
    };
    enum { DOOR = sizeof door / sizeof *door };
    if (*count + DOOR > BPF_MAXINSNS) {
        errno = E2BIG;
        fail(stage, "put the exception in front of the seccomp filter");
    }
    struct sock_filter *whole = keep(stage, NULL, sizeof door + *count * sizeof *program);
    memcpy(whole, door, sizeof door);
    memcpy(whole + DOOR, program, *count * sizeof *program);
    *count += DOOR;
    return whole;
}
