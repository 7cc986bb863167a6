/* terminal.c: pseudo-terminals and the terminal of the caller. */
#include "system.h"

#include <sys/ioctl.h>
#include <termios.h>

int pr_setsid_ctty(int tty_fd)
{
    return ioctl(tty_fd, TIOCSCTTY, 0);
}

int pr_pty_peer(int master_fd)
{
    int unlock = 0;
    if (ioctl(master_fd, TIOCSPTLCK, &unlock) < 0)
        return -1;
    /* Not /dev/pts/N by name: the name may lead to something else by now (CVE-2025-52565). */
    return ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int pr_pty_size(int fd, unsigned short rows, unsigned short columns)
{
    struct winsize size = { .ws_row = rows, .ws_col = columns };
    return ioctl(fd, TIOCSWINSZ, &size);
}

int pr_pty_get_size(int fd, unsigned short *rows, unsigned short *columns)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0)
        return -1;
    *rows = size.ws_row;
    *columns = size.ws_col;
    return 0;
}

int pr_tty_raw(int fd, unsigned char *saved, size_t len)
{
    struct termios now;
    if (len < sizeof now) {
        errno = ENOSPC;
        return -1;
    }
    if (tcgetattr(fd, &now) < 0)
        return -1;
    memcpy(saved, &now, sizeof now);
    tcflag_t output = now.c_oflag & OPOST;
    cfmakeraw(&now);
    now.c_oflag |= output;
    return tcsetattr(fd, TCSANOW, &now) < 0 ? -1 : (int)sizeof now;
}

int pr_tty_restore(int fd, const unsigned char *saved, size_t len)
{
    struct termios before;
    if (len < sizeof before) {
        errno = EINVAL;
        return -1;
    }
    memcpy(&before, saved, sizeof before);
    return tcsetattr(fd, TCSANOW, &before);
}

int pr_tty_no_onlcr(int fd)
{
    struct termios now;
    if (tcgetattr(fd, &now) < 0)
        return -1;
    now.c_oflag &= ~(tcflag_t)ONLCR;
    return tcsetattr(fd, TCSANOW, &now);
}
