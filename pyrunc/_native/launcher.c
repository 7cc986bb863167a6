/* launcher.c: main of the `pyrunc` program.
 *
 * Everything here happens before Python exists: open descriptors 0 to 2 (the first file opened would become somebody's
 * stdout), set signals that are not as the runtime needs them, and for commands that make a process of a container go on
 * from a sealed image, since a container can reach the program that it was forked from as /proc/<pid>/exe and has
 * overwritten it that way (CVE-2019-5736). The environment and the working directory decide nothing. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

_Noreturn void die(const char *what)
{
    if (errno)
        dprintf(STDERR_FILENO, "pyrunc: %s: %s\n", what, strerror(errno));
    else
        dprintf(STDERR_FILENO, "pyrunc: %s\n", what);
    _exit(1);
}

static void open_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)     /* open returns the lowest free number: this one */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            _exit(1);
}

/* As CPython's own start has it: writing to a reader that went away, or past a file size limit, is an error to report
 * and to undo, not a sudden death. A caller that ignores SIGCHLD would take the exit status of hooks from us. */
static void set_signals(void)
{
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static bool among(const char *word, const char *const list[])
{
    for (; *list; list++)
        if (!strcmp(word, *list))
            return true;
    return false;
}

static bool is_shim(const char *name)
{
    const char *slash = strrchr(name, '/');
    return !strcmp(slash ? slash + 1 : name, "containerd-shim-pyrunc-v2");
}

/* Whether the command may make a process of a container. Unknown flags and commands count as if they did. */
static bool makes_process(char **argv)
{
    static const char *const with_value[] = { "root", "log", "log-format", "trace", "cgroup-manager", "rootless", NULL };
    static const char *const switches[] = { "debug", "systemd-cgroup", "version", "v", "help", "h", NULL };
    static const char *const harmless[] = {
        "start", "state", "kill", "delete", "list", "ps", "pause", "resume", "events", "update", "spec", "features",
        "check", "explain", "doctor", "completion", "help", "h", NULL };
    for (argv++; *argv; argv++) {
        const char *word = *argv;
        if (word[0] != '-' || !word[1])
            return !among(word, harmless);
        word += word[1] == '-' ? 2 : 1;
        if (strchr(word, '='))
            continue;
        if (among(word, with_value)) {
            if (!*++argv)
                return false;
        } else if (!among(word, switches)) {
            return true;
        }
    }
    return false;       /* no command at all */
}

/* The directory that holds the package, for the program at path: what `make install` made, or what pip did. */
static void find_library(const char *path, char library[PATH_MAX])
{
    static const char *const places[] = { "pyrunc", PYTHON_NAME "/site-packages", PYTHON_NAME "/dist-packages", NULL };
    const char *slash = strrchr(path, '/');
    while (slash > path && slash[-1] != '/')
        slash--;                        /* PREFIX/bin/pyrunc -> PREFIX/ */
    for (const char *const *place = places; *place; place++) {
        char package[PATH_MAX];
        int length = snprintf(library, PATH_MAX, "%.*slib/%s", (int)(slash - path), path, *place);
        if (snprintf(package, PATH_MAX, "%s/pyrunc", library) < PATH_MAX && length < PATH_MAX &&
            !access(package, X_OK))
            return;
    }
    die("cannot find the pyrunc package beside the program");
}

/* With less than this the interpreter's start ends in a segmentation fault. */
static void check_limits(void)
{
    static const struct { int resource; rlim_t least; const char *name; } needed[] = {
        { RLIMIT_STACK, 64 << 10, "stack (RLIMIT_STACK): 64 KiB are needed" },
        { RLIMIT_DATA, 4 << 20, "data (RLIMIT_DATA): 16 MiB are needed" },
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        struct rlimit limit;
        if (getrlimit(needed[i].resource, &limit) == 0 && limit.rlim_cur < needed[i].least) {
            dprintf(STDERR_FILENO, "pyrunc: too little room for the %s\n", needed[i].name);
            _exit(1);
        }
    }
}

/* A function of its own, for its buffers are on the stack. */
static _Noreturn __attribute__((noinline)) void start(int argc, char **argv)
{
    char self[PATH_MAX], library[PATH_MAX];

    set_signals();
    bool sealed = image_is_sealed();    /* then this is the second start, and all below is done */
    char *shim[argc + 4];               /* the arguments of a name that containerd chooses a shim by */
    char zygote[ZYGOTE_NAME];
    if (!sealed && is_shim(argv[0])) {
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        self[length < 0 ? 0 : length] = 0;
        bool started = zygote_name(self, argv, zygote);
        if (started)
            zygote_start(zygote, argv);
        memcpy(shim, (char *[]){ argv[0], "shim", "-zygote", zygote }, 4 * sizeof *shim);
        memcpy(shim + (started ? 4 : 2), argv + 1, argc * sizeof *argv);
        argv = shim;
        argc += started ? 3 : 1;
    }
#ifdef SNAPSHOT
    if (!sealed && (argc == 3 || argc == 4) && !strcmp(argv[1], "--make-snapshot"))
        make_snapshot(argv[2], argv[3]);
#endif
    bool seal = makes_process(argv);
    if (sealed) {       /* the first start left our path here; only who started us could have written another */
        if (argv[0][0] != '/' || snprintf(self, sizeof self, "%s", argv[0]) >= (int)sizeof self)
            _exit(1);
        prctl(PR_SET_NAME, "pyrunc");   /* the kernel named us after the descriptor's number */
    } else {
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        if (length < 0)
            die("/proc/self/exe: is procfs mounted on /proc?");
        self[length] = 0;
    }
    find_library(self, library);
    /* Neither the container nor another user may trace the runtime or read its memory. Files in /proc of a process that
     * is not dumpable belong to root, which a rootless runtime is not: there it is done once the id maps are written. */
    if (geteuid() == 0 && prctl(PR_SET_DUMPABLE, 0) < 0)
        die("cannot keep others from its memory");
#ifdef EMBEDDED_PYTHON
    if (seal && !sealed) {
        int image = sealed_image_open(self, library);
        if (image >= 0) {
            if (can_seal_in_place(image, argv))
                run_python_sealed(library, argc, argv, image);
            argv[0] = self;
            execveat(image, "", argv, environ, AT_EMPTY_PATH);
        }
        die("cannot start from a sealed image of this program (CVE-2019-5736)");
    }
#endif
    run_python(library, argc, argv, seal);
}

int main(int argc, char **argv)
{
    if (argc < 1)
        _exit(1);
    open_standard_descriptors();
    check_limits();
    start(argc, argv);
}
