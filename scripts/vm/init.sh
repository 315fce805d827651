#!/bin/sh
# The first process of the guest: the host's root read-only over 9p, a tmpfs over it to write to,
# and then the job. Only what this needs is in the initial memory disk; all other modules are
# loaded from the host's folder once it is there.
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module"; done
shared=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "$shared,ro,cache=loose" host /lower
mount -t tmpfs -o size=75% tmpfs /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t cgroup2 cgroup /root/sys/fs/cgroup
mount --move /dev /root/dev
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t devpts pts /root/dev/pts
mount -t tmpfs run /root/run
mkdir -p /root/run/job /root/run/lock
mount -t 9p -o "$shared" job /root/run/job
exec switch_root /root /bin/sh /run/job/script
