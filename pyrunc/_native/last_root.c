/* last_root.c: the container's root becomes "/". The descriptor of it was opened before, by the mounts' steps. */
#include "last_stage.h"

void pivot_root(struct stage *stage, int root)
{
    struct stat wanted, is;
    int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(stage, old, "open the old root");
    must(stage, fchdir(root), "change to the new root");
    must(stage, syscall(SYS_pivot_root, ".", "."), "pivot_root");
    /* Now both lie on "/", the old root on top. Slave, so that the unmounting stays ours. */
    must(stage, fchdir(old), "change to the old root");
    must(stage, pr_mount("", ".", "", MS_SLAVE | MS_REC, NULL), "make the old root a slave");
    must(stage, pr_umount(".", MNT_DETACH), "detach the old root");
    must(stage, chdir("/"), "change to the root");
    must(stage, close(old), "close the old root");
    must(stage, fstat(root, &wanted), "look at the new root");
    must(stage, stat("/", &is), "look at the root");
    if (is.st_dev != wanted.st_dev || is.st_ino != wanted.st_ino) {
        errno = EXDEV;
        fail(stage, "the root is not the container's after pivot_root");
    }
}

void move_root(struct stage *stage, int root)
{
    must(stage, fchdir(root), "change to the new root");
    must(stage, pr_mount(".", "/", NULL, MS_MOVE, NULL), "move the root onto /");
    must(stage, chroot("."), "chroot");
    must(stage, chdir("/"), "change to the root");
}

void change_root(struct stage *stage, int root)
{
    must(stage, fchdir(root), "change to the new root");
    must(stage, chroot("."), "chroot");
    must(stage, chdir("/"), "change to the root");
}
