/* native.h: what the C side offers to Python (bind.py reads the part between the CDEF marks).
 *
 * Three rules: every function returns -1 with errno set (or a value >= 0); every descriptor is O_CLOEXEC;
 * no function allocates from, or interprets, text that a container controls. */
#ifndef PYRUNC_NATIVE_H
#define PYRUNC_NATIVE_H
#include <stdint.h>
#include <stddef.h>

/* CDEF BEGIN */

/* ---- the journal page: <root>/<id>/journal, mapped shared by the runtime, the container's init and `start`.
 * It outlives a SIGKILL or an OOM kill of either, so whoever looks can say which step it was. ---- */
enum { PAGE_MAGIC = 0x70727563, PAGE_VERSION = 3, PAGE_TEXT = 2048, PAGE_FILE = 4096 };
enum { PHASE_NONE = 0, PHASE_CHILD = 1, PHASE_LAST = 2, PHASE_WAITING = 3, PHASE_EXEC = 4, PHASE_FAILED = 5 };

typedef struct {
    uint32_t magic, version;
    uint32_t steps;           /* how many the plan has, barriers included: the length of times */
    int32_t parent_step;      /* index of the step the runtime is in, -1 before the first */
    int32_t child_step;       /* the same for the container's init; the last stage writes it too */
    uint32_t phase;           /* PHASE_*: how far the init has come */
    int32_t error;            /* errno of the failed child step, 0 for none */
    int32_t child_pid;        /* of the process that the child has cloned in its place, 0 for none */
    int32_t listener_fd;      /* the child's descriptor of its filter's listener, -1 for none */
    char text[2048];          /* what the failed child step was doing, NUL, a hint (may be ""), NUL; UTF-8 */
    int32_t hold;             /* the child's descriptor at which it waits to be looked at when it has failed, 0 for none */
    char rest[2008];          /* the file ends here: PAGE_FILE bytes of it */
    struct { uint64_t start, end; } times[];       /* CLOCK_MONOTONIC ns, by step index; in memory only */
} page_t;

/* Gives the file its PAGE_FILE bytes and maps it shared, with times for that many steps behind it; fd -1: memory that
 * has no file. NULL on error. */
page_t *pr_page_map(int fd, unsigned steps);
void pr_page_unmap(page_t *page, unsigned steps);
uint64_t pr_now(void);                            /* CLOCK_MONOTONIC, ns */

/* ---- processes ---- */
/* clone3 with the interpreter's fork hooks around it. 0 in the child, the pid in the parent.
 * flags are CLONE_*; cgroup_fd -1 for none; *pidfd gets CLONE_PIDFD. Fails with EDEADLK when the process
 * has more than one thread. In the child PR_SET_PDEATHSIG is SIGKILL (0 for pdeathsig = none). */
int pr_clone3(uint64_t flags, int cgroup_fd, int *pidfd, int pdeathsig);
int pr_unshare(int flags);
int pr_setns(int fd, int nstype);
int pr_pidfd_open(int pid, unsigned flags);
int pr_pidfd_getfd(int pidfd, int fd);
int pr_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int pr_prlimit(int pid, int resource, uint64_t soft, uint64_t hard);
int pr_close_range(unsigned first, unsigned last, unsigned flags);
int pr_setsid_ctty(int tty_fd);                   /* TIOCSCTTY after setsid */
void pr_forget_environment(void);                 /* zeros in place of the strings that /proc/PID/environ shows */
int pr_signals_reset(void);                       /* every signal SIG_DFL, empty mask */
int pr_signals_block(void);                       /* all blocked, for signalfd */
int pr_signalfd(void);                            /* of every signal, non-blocking, cloexec */
int pr_socketpair(int *fds);                      /* AF_UNIX, SOCK_STREAM, cloexec */
int pr_tasks(void);                               /* number of threads of this process */
int pr_setgroups(int n, const uint32_t *gids);
int pr_setresuid(uint32_t uid);
int pr_setresgid(uint32_t gid);
int pr_sethostname(const char *name, size_t len);
int pr_setdomainname(const char *name, size_t len);
/* What a program has printed: of total bytes the last, used of them, in data, which has room for size. */
struct pr_printed {
    char *data;
    size_t size, used;
    uint64_t total;
};
/* fork, exec path with argv and envp, feed input to its stdin, keep the end of its stdout and stderr, kill it after
 * timeout_ms (0: never; status then is -2).
 * Returns 0 when it ran: *status is the wait status. chdir_fd -1: stay. out_fd, err_fd: descriptors above 2 that it
 * gets as stdout or stderr instead; -1: collect. tied: it is killed when this process dies, and when one of SIGTERM,
 * SIGINT, SIGHUP is handled here (status then is -3): the caller has blocked them, they arrive during the wait. */
int pr_run(const char *path, char *const argv[], char *const envp[], int chdir_fd, int out_fd, int err_fd,
           const char *input, size_t input_len, int timeout_ms, int tied, int *status, struct pr_printed *out,
           struct pr_printed *err);

/* ---- keyrings, scheduling, memory policy ---- */
int pr_keyctl_join_session(const char *name);     /* serial, or -1; "": a new one without a name */
int pr_keyctl_setperm(int serial, uint32_t add);  /* describe, then OR add into the permissions; EKEYREJECTED: another's */
int pr_sched_setattr(int pid, const unsigned char *attr);    /* a struct sched_attr, with its size */
int pr_sched_setaffinity(int pid, const unsigned char *mask, size_t len);

/* ---- files by descriptor ---- */
int pr_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int64_t pr_fs_type(int fd);                       /* f_type of fstatfs */
int pr_mount_id(int fd);                          /* statx STATX_MNT_ID */
int pr_fs_flags(int fd);                          /* f_flags (ST_*) of fstatfs */
int pr_fchown(int fd, uint32_t uid, uint32_t gid);    /* fchownat(AT_EMPTY_PATH) */
int pr_empty_path_chmod(int fd, uint32_t mode, int proc_fd); /* fchmodat2(AT_EMPTY_PATH), else /proc/self/fd by proc_fd */

/* ---- mounts: the new mount API only; "" paths act on the descriptor itself ---- */
int pr_open_tree(int dirfd, const char *path, unsigned flags);
int pr_move_mount(int from_fd, int to_fd, unsigned flags);
int pr_fsopen(const char *fstype);
int pr_fsconfig(int fd, unsigned cmd, const char *key, const char *value, int aux);
int pr_fsmount(int fd, unsigned attrs);
int pr_mount_setattr(int fd, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation, int userns_fd);
int pr_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int pr_umount(const char *target, int flags);

/* ---- the usual below a root, each in one call (usual.c). -1 without a reason: something is not as usual, or fails, and
 * nothing has been done. -2 with errno: what had been made could not be taken back. Paths are absolute, and those of what
 * is made without "..". ---- */
enum { USUAL_NO_LINKS = 1,      /* no link may lead there */
       USUAL_COPY_MODE = 2,     /* a directory that is covered gives its mode: the option `mode`, before the others */
       USUAL_IN_PROC = 4,       /* the place may be within a procfs */
       USUAL_KEEP = 8 };        /* the descriptor of the mount comes back, else 0 */
/* A new file system of a kind on a directory, which is made where it is missing. options: each 's', key NUL, value NUL, or
 * 'f', key NUL; an empty string ends them. attributes: of fsmount(2). */
int pr_usual_mount(int root, const char *path, const char *kind, const char *options, uint64_t attributes,
                   unsigned how);
int pr_usual_node(int root, const char *path, uint32_t mode, uint64_t device, uint32_t uid, uint32_t gid);
int pr_usual_readonly(int root, const char *path);                  /* what is not there needs nothing */
/* file, directory: what covers each, -1 where that is not made yet. */
int pr_usual_mask(int root, const char *path, int file, int directory);

/* ---- terminals ---- */
int pr_pty_peer(int master_fd);                   /* TIOCSPTLCK 0, then TIOCGPTPEER, O_NOCTTY */
int pr_pty_size(int fd, unsigned short rows, unsigned short columns);
int pr_pty_get_size(int fd, unsigned short *rows, unsigned short *columns);
int pr_tty_raw(int fd, unsigned char *saved, size_t len);    /* saves termios, then raw, but for OPOST: what is
                                                              * printed still begins its lines; returns bytes saved */
int pr_tty_restore(int fd, const unsigned char *saved, size_t len);
int pr_tty_no_onlcr(int fd);                      /* clear ONLCR: lines end in LF */

/* ---- network: one ioctl; moving devices is pyroute2's work ---- */
int pr_loopback_up(void);

/* ---- cgroup devices ---- */
int pr_bpf_load_device(const void *insns, unsigned count, char *log, size_t log_size);
int pr_bpf_attach(int cgroup_fd, int prog_fd, int replace_fd);  /* replace_fd -1: ALLOW_MULTI */
int pr_bpf_detach(int cgroup_fd, int prog_fd);
int pr_bpf_query(int cgroup_fd, uint32_t *ids, unsigned max);   /* number of programs */
int pr_bpf_by_id(uint32_t id);

/* ---- seccomp ---- */
unsigned pr_seccomp_flags(void);                  /* SECCOMP_FILTER_FLAG_* of this kernel */

/* ---- the last stage: from pivot_root to execve, no Python (last_stage.c). Each operation carries the index of
 * its step; data is a NUL-terminated string, a NUL-separated list or a packed struct in the blob. ---- */
enum {
    OP_PIVOT_ROOT = 1,   /* a = root fd: fchdir, pivot_root(".", "."), old root slave, detached; chdir "/" */
    OP_MOVE_ROOT,        /* a = root fd: --no-pivot: MS_MOVE onto "/", chroot "." */
    OP_CHROOT,           /* a = root fd: no mount namespace of its own */
    OP_PROPAGATION,      /* a = MS_* flags for "/" */
    OP_UMASK,            /* a = mask */
    OP_NO_NEW_PRIVS,
    OP_SCHEDULER,        /* data = struct sched_attr */
    OP_IOPRIO,           /* a = class << 13 | priority */
    OP_PERSONALITY,      /* a = persona */
    OP_MEMPOLICY,        /* a = mode | flags, b = highest node + 1, data = node mask, 64-bit words */
    OP_BARRIER,          /* a = sync fd: tell the parent, wait for its answer */
    OP_SECCOMP,          /* a = flags (SECCOMP_FILTER_FLAG_*), data = sock_filter[]; b = 1: NEW_LISTENER, its number goes to
                          * page.listener_fd; b = 2: and the listener itself, with one byte, over the unix socket c */
    OP_CLOSE_FD,         /* a = fd */
    OP_CHDIR,            /* data = path; a = 1: EACCES is left for the second try as the container's user, which does
                          * nothing if this one succeeded; verified like OP_VERIFY_CWD */
    OP_CHOWN_STDIO,      /* a = uid: 0..2 unless /dev/null or already its own */
    OP_BOUNDING,         /* a = mask to keep */
    OP_KEEP_CAPS,        /* a = 0 or 1 */
    OP_SETGROUPS,        /* data = uint32_t[] */
    OP_SETGID,           /* a */
    OP_SETUID,           /* a */
    OP_CAPSET,           /* a = effective, b = permitted, c = inheritable */
    OP_AMBIENT,          /* a = mask: clear all, raise these; a refusal is not an error (runc warns) */
    OP_VERIFY,           /* data = struct packed_verify: what must be true now, else EPERM with what differs in the text */
    OP_VERIFY_CWD,       /* getcwd must succeed and be absolute (CVE-2024-21626) */
    OP_FIND_EXECUTABLE,  /* data = args[0] NUL PATH NUL: remembers the path for OP_EXEC */
    OP_WAIT_START,       /* a = fifo fd (O_RDWR): read one byte; phase is PHASE_WAITING meanwhile */
    OP_HOOK,             /* a = its number, for the error; data = struct packed_hook, run with pr_run; b, c = out_fd,
                          * err_fd of that */
    OP_NO_PDEATHSIG,
    OP_CLOSE_FROM,       /* a = the first descriptor that the container does not get. What no operation names is closed
                          * before the first operation, what one names here; but for the sockets and fifos that are
                          * waited at (OP_BARRIER, OP_WAIT_START): exec closes those, and so tells that it happened */
    OP_EXEC,             /* data = struct packed_exec; the last operation, and the only one of its kind */
    OP_SETNS,            /* a = fd, b = CLONE_NEW*: exec joins the container's mount and pid namespaces here, and only here */
    OP_CLONE,            /* let go of the host's libraries, and go on as a child of the runtime that was born in the joined
                          * pid namespace; page.child_pid = its pid. It begins a session and waits for one byte at a = sync
                          * fd. b = 1: the filter needs a door for that; c & 1: its terminal is standard input; c & 2:
                          * it is not the runtime's child, but goes to the child subreaper above that (prctl(2)); data
                          * = soft and hard RLIMIT_NPROC, uint64_t[2], or nothing. Only OP_CLOSE_FROM,
                          * OP_BARRIER and OP_EXEC may follow */
    OP_TERMINAL,         /* make the terminal that is standard input the controlling one */
    OP_SIGNALS,          /* until OP_EXEC, end by signals that ask for it, and by no other */
    OP_DUMPABLE,         /* let other processes of the same user look into this one */
    OP_LET_GO,           /* unmap the host's libraries. b = 1: the filter needs a door for that; c = 1: but for the C library,
                          * which stays, as a copy in memory; c = 0: only OP_BARRIER, OP_CLOSE_FD, OP_WAIT_START,
                          * OP_CLOSE_FROM and OP_EXEC may follow */
};
typedef struct { uint32_t code, step; int64_t a, b, c; uint32_t data, len; } op_t;

/* Runs ops[0..n) and never returns: the last one execs; a failing one puts errno, the step and a text into the
 * page, phase PHASE_FAILED, and _exits with 1. */
void pr_last_stage(page_t *page, const op_t *ops, unsigned n, const char *blob, size_t blob_len);

/* CDEF END */
#endif
