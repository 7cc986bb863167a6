// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A file system of the type resctrl, for a guest whose processor has no such thing.
 *
 * It is a tmpfs under another name, in which folders are groups, as the kernel's Documentation/x86/resctrl.rst has them:
 * mkdir makes the files of a group, rmdir takes them away, `tasks` and `schemata` check what is written, and children of a
 * process are in its group. Nothing is limited by it: there are two caches with masks of 11 bits, and two bandwidths.
 */
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <trace/events/sched.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
typedef struct user_namespace *mapping_t;
#define SAME (&init_user_ns)
#else
typedef struct mnt_idmap *mapping_t;
#define SAME (&nop_mnt_idmap)
#endif

enum { CLASSES = 16, GROUPS = 64, DOMAINS = 2, FILES = 16, MEMBERS = 4096, ROOT = 0 };
enum { FULL = 0x7ff, LEAST_BITS = 1, BANDWIDTH = 100, GRANULARITY = 10, LEAST_BANDWIDTH = 10 };

struct group {
	bool used, monitors;                    /* monitors: one below mon_groups */
	int parent;
	unsigned int cache[DOMAINS], bandwidth[DOMAINS];
	struct inode *mon_groups;               /* the folder in which its monitoring groups are made */
	struct dentry *made[FILES];             /* in this order; pinned by tmpfs */
	int count;
};

struct member {                                 /* of a group other than the root's */
	pid_t pid;
	int class, monitor;
};

static struct file_system_type *tmpfs;
static const struct inode_operations *tmpfs_folder;
static struct inode_operations folder;
static const struct fs_context_operations *tmpfs_context;
static struct fs_context_operations context;
static struct inode *root;

static struct group groups[GROUPS];             /* under the inode lock of the root or of a mon_groups */
static DEFINE_MUTEX(making);
static struct member members[MEMBERS];
static int member_count;
static DEFINE_SPINLOCK(members_lock);
static char last_status[128] = "ok\n";

static int refuse(int error, const char *why)
{
	snprintf(last_status, sizeof(last_status), "%s\n", why);
	return error;
}

/* ---- who is in which group ---------------------------------------------------------------------------------- */
static struct member *member_of(pid_t pid)
{
	int i;

	for (i = 0; i < member_count; i++)
		if (members[i].pid == pid)
			return &members[i];
	return NULL;
}

static void forget(struct member *member)
{
	*member = members[--member_count];
}

static void join(pid_t pid, int class, int monitor)
{
	struct member *member = member_of(pid);

	if (!member && member_count < MEMBERS)
		member = &members[member_count++];
	if (member)
		*member = (struct member){ pid, class, monitor };
	if (member && class == ROOT && monitor == ROOT)
		forget(member);
}

static void forked(void *data, struct task_struct *parent, struct task_struct *child)
{
	struct member *member;

	spin_lock(&members_lock);
	member = member_of(parent->tgid);
	if (member && child->pid == child->tgid)
		join(child->pid, member->class, member->monitor);
	spin_unlock(&members_lock);
}

static bool belongs(struct task_struct *task, int group)
{
	struct member *member = member_of(task->tgid);
	int class = member ? member->class : ROOT, monitor = member ? member->monitor : ROOT;

	return groups[group].monitors ? monitor == group : class == group;
}

static ssize_t tasks_read(struct file *file, char __user *to, size_t count, loff_t *at)
{
	int group = (long)file_inode(file)->i_private, used = 0, size = 1 << 17, i;
	char *text = kvzalloc(size, GFP_KERNEL);
	struct task_struct *task;
	ssize_t done;

	if (!text)
		return -ENOMEM;
	rcu_read_lock();
	spin_lock(&members_lock);
	for_each_process(task)
		if (belongs(task, group) && used < size - 16 && task_pid_vnr(task))
			used += snprintf(text + used, size - used, "%d\n", task_pid_vnr(task));
	for (i = member_count - 1; i >= 0; i--)
		if (!find_pid_ns(members[i].pid, &init_pid_ns))
			forget(&members[i]);
	spin_unlock(&members_lock);
	rcu_read_unlock();
	done = simple_read_from_buffer(to, count, at, text, used);
	kvfree(text);
	return done;
}

static ssize_t tasks_write(struct file *file, const char __user *from, size_t count, loff_t *at)
{
	int group = (long)file_inode(file)->i_private, number, error = 0;
	char *text = count < PAGE_SIZE ? memdup_user_nul(from, count) : ERR_PTR(-EINVAL);
	struct task_struct *task;
	struct member *member;

	if (IS_ERR(text))
		return PTR_ERR(text);
	if (kstrtoint(strstrip(text), 0, &number) || number < 0)
		error = refuse(-EINVAL, "Invalid pid value");
	kfree(text);
	if (error)
		return error;
	rcu_read_lock();
	task = number ? pid_task(find_vpid(number), PIDTYPE_PID) : current;
	if (task) {
		spin_lock(&members_lock);
		member = member_of(task->tgid);
		if (!groups[group].monitors)
			join(task->tgid, group, group);
		else if ((member ? member->class : ROOT) == groups[group].parent)
			join(task->tgid, groups[group].parent, group);
		else
			error = refuse(-EINVAL, "Can't move task to different control group");
		spin_unlock(&members_lock);
	} else {
		error = refuse(-ESRCH, "No task");
	}
	rcu_read_unlock();
	return error ? error : (ssize_t)count;
}

static const struct file_operations tasks_file = {
	.owner = THIS_MODULE, .read = tasks_read, .write = tasks_write, .llseek = default_llseek,
};

/* ---- schemata ------------------------------------------------------------------------------------------------ */
static ssize_t schemata_read(struct file *file, char __user *to, size_t count, loff_t *at)
{
	struct group *group = &groups[(long)file_inode(file)->i_private];
	char text[128];
	int used = snprintf(text, sizeof(text), "    MB:0=%4u;1=%4u\n    L3:0=%03x;1=%03x\n", group->bandwidth[0],
			    group->bandwidth[1], group->cache[0], group->cache[1]);

	return simple_read_from_buffer(to, count, at, text, used);
}

static bool in_one_piece(unsigned int mask)
{
	return mask && !(mask & ~FULL) && !((mask + (mask & -mask)) & mask) && hweight32(mask) >= LEAST_BITS;
}

/* One line, "L3:0=f;1=ff", into the group. */
static int take_line(struct group *group, char *line)
{
	char *name = strsep(&line, ":"), *part;
	bool cache = !strcmp(strim(name), "L3");
	unsigned int domain, value;

	if (!line || (!cache && strcmp(strim(name), "MB")))
		return refuse(-EINVAL, "Unknown or unsupported resource name");
	while ((part = strsep(&line, ";"))) {
		char *number = strsep(&part, "=");

		if (!part || kstrtouint(strim(number), 10, &domain) || kstrtouint(strim(part), cache ? 16 : 10, &value))
			return refuse(-EINVAL, "Missing '=' or non-numeric domain");
		if (domain >= DOMAINS || (cache ? !in_one_piece(value) : value < LEAST_BANDWIDTH || value > BANDWIDTH))
			return refuse(-EINVAL, "Value out of range");
		if (cache)
			group->cache[domain] = value;
		else
			group->bandwidth[domain] = roundup(value, GRANULARITY);
	}
	return 0;
}

static ssize_t schemata_write(struct file *file, const char __user *from, size_t count, loff_t *at)
{
	struct group *group = &groups[(long)file_inode(file)->i_private], new = *group;
	char *text, *rest, *line;
	int error = 0;

	if (count == 0 || count >= PAGE_SIZE)
		return -EINVAL;
	text = memdup_user_nul(from, count);
	if (IS_ERR(text))
		return PTR_ERR(text);
	rest = text;
	if (text[count - 1] != '\n')
		error = refuse(-EINVAL, "no newline");
	else
		text[count - 1] = '\0';
	while (!error && (line = strsep(&rest, "\n")))
		error = take_line(&new, line);
	kfree(text);
	if (error)
		return error;
	memcpy(group->cache, new.cache, sizeof(new.cache));             /* all of it, or nothing */
	memcpy(group->bandwidth, new.bandwidth, sizeof(new.bandwidth));
	snprintf(last_status, sizeof(last_status), "ok\n");
	return count;
}

static const struct file_operations schemata_file = {
	.owner = THIS_MODULE, .read = schemata_read, .write = schemata_write, .llseek = default_llseek,
};

static ssize_t text_read(struct file *file, char __user *to, size_t count, loff_t *at)
{
	const char *text = file_inode(file)->i_private;

	return simple_read_from_buffer(to, count, at, text, strlen(text));
}

static const struct file_operations text_file = {
	.owner = THIS_MODULE, .read = text_read, .llseek = default_llseek,
};

/* ---- folders --------------------------------------------------------------------------------------------------- */
/* A file or, without operations, a folder. */
static struct dentry *make(struct dentry *above, const char *name, umode_t mode, const struct file_operations *operations,
			   void *of)
{
	struct dentry *made = d_alloc_name(above, name);
	struct inode *inside = d_inode(above);
	int error;

	if (!made)
		return ERR_PTR(-ENOMEM);
	inode_lock_nested(inside, I_MUTEX_CHILD);
	d_add(made, NULL);
	error = operations ? tmpfs_folder->create(SAME, inside, made, mode | S_IFREG, true)
			   : tmpfs_folder->mkdir(SAME, inside, made, mode);
	if (!error && operations) {
		d_inode(made)->i_fop = operations;
		d_inode(made)->i_private = of;
	} else if (!error) {
		d_inode(made)->i_op = &folder;
	}
	inode_unlock(inside);
	dput(made);                                     /* tmpfs keeps it */
	return error ? ERR_PTR(error) : made;
}

/* The same, as a part of a group. */
static int add(int group, const char *name, struct dentry *above, umode_t mode, const struct file_operations *operations,
	       void *of)
{
	struct dentry *made = make(above, name, mode, operations, of);

	if (IS_ERR(made))
		return PTR_ERR(made);
	groups[group].made[groups[group].count++] = made;
	return 0;
}

static int fill_group(int group, struct dentry *place)
{
	void *number = (void *)(long)group;
	int error = add(group, "tasks", place, 0644, &tasks_file, number);

	error = error ?: add(group, "cpus", place, 0444, &text_file, "0\n");
	error = error ?: add(group, "cpus_list", place, 0444, &text_file, "\n");
	error = error ?: add(group, "mon_data", place, 0555, NULL, NULL);
	if (error || groups[group].monitors)
		return error;
	error = add(group, "schemata", place, 0644, &schemata_file, number);
	error = error ?: add(group, "mode", place, 0444, &text_file, "shareable\n");
	error = error ?: add(group, "mon_groups", place, 0755, NULL, NULL);
	if (!error)
		groups[group].mon_groups = d_inode(groups[group].made[groups[group].count - 1]);
	return error;
}

static void empty_group(int group)
{
	struct group *one = &groups[group];
	int i;

	spin_lock(&members_lock);
	for (i = member_count - 1; i >= 0; i--)
		if (members[i].class == group)
			forget(&members[i]);
		else if (members[i].monitor == group)
			members[i].monitor = members[i].class;
	spin_unlock(&members_lock);
	while (one->count) {
		struct dentry *made = dget(one->made[--one->count]);
		struct inode *inside = d_inode(made->d_parent);

		if (d_is_dir(made))
			tmpfs_folder->rmdir(inside, made);
		else
			tmpfs_folder->unlink(inside, made);
		d_drop(made);
		dput(made);
	}
}

static int folder_mkdir(mapping_t mapping, struct inode *inside, struct dentry *place, umode_t mode)
{
	int parent, group, classes = 0, error = 0;

	mutex_lock(&making);
	for (parent = 0; parent < GROUPS; parent++)
		if (groups[parent].used && inside == (parent == ROOT ? root : groups[parent].mon_groups))
			break;
	if (inside == groups[ROOT].mon_groups)
		parent = ROOT;
	if (parent == GROUPS)
		error = -EPERM;
	for (group = 0; group < GROUPS; group++)
		classes += groups[group].used && !groups[group].monitors;
	for (group = 0; !error && group < GROUPS && groups[group].used; group++)
		;
	if (!error && (group == GROUPS || (inside == root && classes == CLASSES)))
		error = refuse(-ENOSPC, "Out of CLOSIDs");
	error = error ?: tmpfs_folder->mkdir(mapping, inside, place, mode);
	if (!error) {
		groups[group] = (struct group){ .used = true, .monitors = inside != root, .parent = parent,
			.cache = { FULL, FULL }, .bandwidth = { BANDWIDTH, BANDWIDTH } };
		d_inode(place)->i_op = &folder;
		d_inode(place)->i_private = (void *)(long)group;
		error = fill_group(group, place);
	}
	mutex_unlock(&making);
	return error;
}

static int folder_rmdir(struct inode *inside, struct dentry *place)
{
	int group = (long)d_inode(place)->i_private, other, error;

	if (group == ROOT)
		return -EPERM;
	mutex_lock(&making);
	for (other = 1; other < GROUPS; other++)
		if (groups[other].used && groups[other].monitors && groups[other].parent == group) {
			error = -ENOTEMPTY;             /* the kernel removes them, too: no test needs that */
			goto out;
		}
	empty_group(group);
	error = tmpfs_folder->rmdir(inside, place);
	groups[group].used = false;
out:
	mutex_unlock(&making);
	return error;
}

/* ---- the file system --------------------------------------------------------------------------------------------- */
static int fill(struct dentry *top)
{
	struct dentry *info, *part;
	int error;

	memset(groups, 0, sizeof(groups));
	member_count = 0;
	root = d_inode(top);
	tmpfs_folder = root->i_op;
	folder = *tmpfs_folder;
	folder.mkdir = folder_mkdir;
	folder.rmdir = folder_rmdir;
	folder.create = NULL;
	folder.unlink = NULL;
	folder.rename = NULL;
	folder.symlink = NULL;
	folder.link = NULL;
	folder.mknod = NULL;
	folder.tmpfile = NULL;
	root->i_op = &folder;
	groups[ROOT] = (struct group){ .used = true, .cache = { FULL, FULL }, .bandwidth = { BANDWIDTH, BANDWIDTH } };
	error = fill_group(ROOT, top);
	if (error)
		return error;
	info = make(top, "info", 0555, NULL, NULL);
	if (IS_ERR(info))
		return PTR_ERR(info);
	make(info, "last_cmd_status", 0444, &text_file, last_status);
	part = make(info, "L3", 0555, NULL, NULL);
	if (IS_ERR(part))
		return PTR_ERR(part);
	make(part, "cbm_mask", 0444, &text_file, "7ff\n");
	make(part, "min_cbm_bits", 0444, &text_file, "1\n");
	make(part, "num_closids", 0444, &text_file, "16\n");
	make(part, "shareable_bits", 0444, &text_file, "0\n");
	part = make(info, "MB", 0555, NULL, NULL);
	if (IS_ERR(part))
		return PTR_ERR(part);
	make(part, "bandwidth_gran", 0444, &text_file, "10\n");
	make(part, "min_bandwidth", 0444, &text_file, "10\n");
	make(part, "num_closids", 0444, &text_file, "16\n");
	part = make(info, "L3_MON", 0555, NULL, NULL);
	if (IS_ERR(part))
		return PTR_ERR(part);
	make(part, "num_rmids", 0444, &text_file, "64\n");
	make(part, "mon_features", 0444, &text_file, "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n");
	return 0;
}

static int get_tree(struct fs_context *fc)
{
	int error;

	if (root)
		return -EBUSY;                          /* there is one of it */
	error = tmpfs_context->get_tree(fc);
	return error ?: fill(fc->root);
}

static int init_context(struct fs_context *fc)
{
	int error = tmpfs->init_fs_context(fc);

	if (error)
		return error;
	tmpfs_context = fc->ops;
	context = *fc->ops;
	context.get_tree = get_tree;
	fc->ops = &context;
	return 0;
}

static void kill_sb(struct super_block *sb)
{
	tmpfs->kill_sb(sb);
	root = NULL;
}

static struct file_system_type resctrl = {
	.owner = THIS_MODULE, .name = "resctrl", .init_fs_context = init_context, .kill_sb = kill_sb,
};

static struct tracepoint *fork_point;

static void look(struct tracepoint *point, void *data)
{
	if (!strcmp(point->name, "sched_process_fork"))
		fork_point = point;
}

static int __init begin(void)
{
	int error;

	tmpfs = get_fs_type("tmpfs");
	for_each_kernel_tracepoint(look, NULL);
	if (!tmpfs || !fork_point)
		return -ENODEV;
	error = sysfs_create_mount_point(fs_kobj, "resctrl");
	error = error ?: tracepoint_probe_register(fork_point, forked, NULL);
	return error ?: register_filesystem(&resctrl);
}

static void __exit end(void)
{
	unregister_filesystem(&resctrl);
	sysfs_remove_mount_point(fs_kobj, "resctrl");
	tracepoint_probe_unregister(fork_point, forked, NULL);
	tracepoint_synchronize_unregister();
}

module_init(begin);
module_exit(end);
MODULE_DESCRIPTION("groups of resctrl without a processor that has them");
MODULE_LICENSE("Dual MIT/GPL");
