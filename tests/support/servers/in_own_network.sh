#!/bin/sh
# Run a program in a network of its own, which this machine reaches at INNER and which goes with the program.
#
#     unshare --net in_own_network.sh NAME OUTER INNER COMMAND…
#
# NAME is the interface of this machine, OUTER its address, and the way from there to everywhere else. Whoever starts
# this is in the network of the machine.
set -eu
name=$1 outer=$2 inner=$3
shift 3
ip link set lo up
nsenter --net="/proc/$PPID/ns/net" sh -eu << END
ip link delete $name 2> /dev/null || true
ip link add $name type veth peer name eth0 netns $$
ip address add $outer/30 dev $name
ip link set $name up
END
ip address add "$inner/30" dev eth0
ip link set eth0 up
ip route add default via "$outer"
exec "$@"
