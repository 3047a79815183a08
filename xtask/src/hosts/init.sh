#!/bin/busybox sh
# A container's pivot_root needs a root that is mounted on something, and the initramfs is on nothing:
# mount it on itself.
/bin/busybox mount -o bind / /root
cd /root
/bin/busybox mount -o move . /
exec /bin/busybox chroot . /bin/sh /guest.sh
