/* zygote_client.c: `containerd-shim-pyrunc-v2 start` by the host's zygote (shim/zygote.py), without a Python of its own.
 *
 * The zygote is a warm process from which shims are forked. Its socket is in a folder that is root's alone, under a name
 * of the mount namespace, the program and containerd's address, so that each is asked by its own kind only. It gets the
 * arguments, the environment, the working directory and the standard streams; it takes the command by one byte, and ends
 * it by another, the exit status. Without it, or if it does not take the command, all goes on as if it were not there. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FOLDER "/run/pyrunc-zygote"

extern char **environ;

enum { REQUEST = 64 << 10, PATIENCE = 2000 };   /* bytes; milliseconds until the command is taken */

static uint64_t mixed(uint64_t hash, const void *data, size_t size)     /* FNV-1a: tells apart, and keeps no secret */
{
    for (const unsigned char *byte = data, *end = byte + size; byte < end; byte++)
        hash = (hash ^ *byte) * 0x100000001b3;
    return hash;
}

bool zygote_name(const char *program, char **argv, char name[ZYGOTE_NAME])
{
    const char *address = "", *action = "";
    for (char **word = argv + 1; *word; word++) {
        const char *flag = **word == '-' ? *word + 1 + ((*word)[1] == '-') : "";
        if (!strcmp(flag, "address") && word[1])
            address = word[1];
        else if (!strncmp(flag, "address=", 8))
            address = flag + 8;
        action = *word;
    }
    struct stat image, spaces;
    if (geteuid() != 0 || strcmp(action, "start") || stat(program, &image) < 0 || stat("/proc/self/ns/mnt", &spaces) < 0)
        return false;
    struct sockaddr_un limit;
    uint64_t hash = mixed(0xcbf29ce484222325, address, strlen(address) + 1);
    hash = mixed(hash, program, strlen(program) + 1);
    hash = mixed(hash, &image.st_ino, sizeof image.st_ino);
    hash = mixed(hash, &image.st_mtim, sizeof image.st_mtim);
    int length = snprintf(name, ZYGOTE_NAME, FOLDER "/%llu-%016llx", (unsigned long long)spaces.st_ino,
                          (unsigned long long)hash);
    return length > 0 && length < ZYGOTE_NAME && (size_t)length < sizeof limit.sun_path;
}

/* Nobody but root can have put the socket there, and root listens at it. */
static int connect_to(const char *name)
{
    struct stat folder;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (lstat(FOLDER, &folder) < 0 || !S_ISDIR(folder.st_mode) || folder.st_uid != 0 || folder.st_mode & 077)
        return -1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, name, sizeof address.sun_path - 1);
    if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) < 0
                    || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Each string after a "=", so that an empty one is none of the two ends. */
static size_t pack(char *request, size_t used, char **strings)
{
    for (; *strings; strings++) {
        size_t length = strlen(*strings) + 1;
        if (used + length + 3 > REQUEST)
            return REQUEST;
        request[used++] = '=';
        memcpy(request + used, *strings, length);
        used += length;
    }
    request[used++] = 0;
    return used;
}

static bool ask(int fd, const char *request, size_t size)
{
    int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), fds[] = { cwd, 0, 1, 2 };
    union {
        char space[CMSG_SPACE(sizeof fds)];
        struct cmsghdr header;
    } rights = { .header = { .cmsg_len = CMSG_LEN(sizeof fds), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
    struct iovec data = { (void *)request, size };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights };
    memcpy(CMSG_DATA(&rights.header), fds, sizeof fds);
    bool sent = cwd >= 0 && sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)size;
    close(cwd);
    return sent;
}

void zygote_start(const char *name, char **argv)
{
    char *request = mmap(NULL, REQUEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t size = request == MAP_FAILED ? REQUEST : pack(request, 0, argv);
    size = size < REQUEST ? pack(request, size, environ) : size;
    int fd = size < REQUEST ? connect_to(name) : -1;
    if (fd < 0)
        return;
    unsigned char byte;
    struct pollfd answer = { .fd = fd, .events = POLLIN };
    if (!ask(fd, request, size) || poll(&answer, 1, PATIENCE) != 1 || read(fd, &byte, 1) != 1) {
        close(fd);
        return;
    }
    ssize_t got;
    while ((got = read(fd, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (got != 1) {
        errno = 0;
        die("the zygote's process has ended before the shim was started");
    }
    _exit(byte);
}
