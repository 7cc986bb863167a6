/* last_exec.c: finding the executable as the container's user in the container. last_explain.c tells
 * why one cannot run. */
#include "last_stage.h"

/* What Go's os/exec looks at: 0, or -1 with errno; *seen is whether the file is there at all. */
static int usable(const char *file, int *seen)
{
    struct stat found;
    *seen = 0;
    if (stat(file, &found) < 0)
        return -1;
    *seen = 1;
    if (S_ISDIR(found.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    if (syscall(SYS_faccessat2, AT_FDCWD, file, X_OK, AT_EACCESS) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM)      /* those two: a filter does not know the call */
        return -1;
    errno = EACCES;
    return found.st_mode & 0111 ? 0 : -1;
}

static int no_such_command(const char *name, struct line *text, const char *why)
{
    say(text, "exec: ");
    say_quoted(text, name);
    say(text, why);
    errno = 0;
    return -1;
}

static int find_by_path(const char *name, char found[PATH_MAX], struct line *text, struct line *hint)
{
    int seen;
    if (usable(name, &seen) == 0) {
        size_t len = strlen(name);
        if (len < PATH_MAX) {
            memcpy(found, name, len + 1);
            return 0;
        }
        errno = ENAMETOOLONG;
    }
    int cause = errno;
    say(text, "exec: ");
    say_quoted(text, name);
    if (!seen) {
        say(text, ": stat ");
        say(text, name);
        if (cause == EACCES) {
            say(hint, "a directory above it may not be searched by uid ");
            say_number(hint, (uint64_t)geteuid(), 10);
        }
    } else if (cause == EACCES) {
        explain_access(name, hint);
    }
    errno = cause;
    return -1;
}

int find_executable(const char *name, const char *path, char found[PATH_MAX], struct line *text, struct line *hint)
{
    if (strchr(name, '/'))
        return find_by_path(name, found, text, hint);
    size_t name_len = strlen(name);
    int hinted = 0;
    for (const char *entry = path, *next; entry && *path; entry = next) {
        const char *colon = strchr(entry, ':');
        size_t len = colon ? (size_t)(colon - entry) : strlen(entry);
        int seen;
        next = colon ? colon + 1 : NULL;
        if (len + 1 + name_len >= PATH_MAX)
            continue;
        memcpy(found, entry, len);
        if (len)
            found[len++] = '/';                 /* an empty entry is the current directory */
        memcpy(found + len, name, name_len + 1);
        if (usable(found, &seen) == 0) {
            if (*found == '/')
                return 0;
            return no_such_command(name, text, ": cannot run executable found relative to current directory");
        }
        if (errno == EACCES && !hinted++) {
            if (!seen)                          /* it may be there, or not: without the right to search nobody can tell */
                found[len > 1 ? len - 1 : 1] = 0;
            say(hint, found);
            say(hint, seen ? " exists, but may not be executed" : " may not be searched by uid ");
            if (!seen)
                say_number(hint, (uint64_t)geteuid(), 10);
        }
    }
    return no_such_command(name, text, ": executable file not found in $PATH");
}
