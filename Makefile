# As root on a fresh Debian 12 or 13 with git, make and Python:
#
#   make demo       install what is missing, build, run a container, and print the plan that ran with its times
#   make test       install what is missing, build, and pass every test
#   make engines    every scenario under containerd, CRI, Docker, Podman and Buildah, in the guest; ENGINE=docker: one's
#   make faults     every system call of every command fails once, in every way: hours
#   make bench-shim the speed and memory of containerd's shims, side by side
#   make bench-manager  the manager beside the command lines, and what 1,000 containers cost
#   make matrix     build, demo, tests and benchmark on each Debian, in roots by debootstrap: as root; SUITES=trixie: one
#   make lint       ruff, mypy, and the test of the layers
#   make coverage   the unit tests, and how much of pyrunc/ they run, in one line
#   make install    PREFIX=/usr/local [DESTDIR=]: for engines
#
# What is there already is not asked for again: a second run needs no network.

PYTHON  := $(shell test -x /usr/bin/python3 && echo /usr/bin/python3 || echo python3)
PREFIX  := /usr/local
VENV    := .venv
IN      := $(VENV)/bin/python
PYTEST  := -q

APT_BUILD := gcc libc6-dev python3-dev python3-venv libpython3-dev libseccomp-dev libcap-dev busybox-static
APT_TEST  := runc crun procps qemu-system-x86 linux-image-amd64 cpio kmod containerd strace uidmap apparmor criu iproute2 \
             dbus systemd-sysv golang-github-opencontainers-specs-dev secilc \
             docker.io podman buildah conmon containernetworking-plugins netavark aardvark-dns fuse-overlayfs \
             slirp4netns iptables dbus-user-session groff-base chromium
# The engines depend on these on one release of Debian and merely recommend them on another, or do not know them.
APT_RECOMMENDED := docker-cli nftables catatonit passt

SOURCES := $(shell find pyrunc -name '*.py' -o -name '*.[ch]' ! -name '_native.c' ! -name '_seccomp.c') setup.py Makefile

.PHONY: build demo test coverage engines faults matrix bench bench-shim bench-manager lint install clean apt-build apt-test
build: $(VENV)/bin/pyrunc

demo: build
	tests/demo.sh $(VENV)/bin/pyrunc

test: build apt-test $(VENV)/.test
	$(IN) -m pytest $(PYTEST) tests

# Tests that need no guest, without the few that take seconds each. A failure here is one of `make test`, too: it judges.
UNIT := tests/engine tests/kernel tests/runtime tests/config tests/steps tests/cli tests/state tests/cgroups tests/seccomp tests/traceview tests/ttrpc tests/rootfs \
        $(wildcard tests/test_*.py)
SLOW := more_rules_than or random_profiles or tree_of_any_depth or tree_deeper or whatever_the_schema or official_schemas \
        or at_many_places or check_of_anything or large_config or in_a_browser
coverage: build apt-test $(VENV)/.test
	@mkdir -p build
	@$(IN) -m coverage run --data-file=build/coverage --source=pyrunc -m pytest -q \
	  -m "not guest and not guest_systemd" -k "not ($(SLOW))" $(UNIT) >build/unit-tests.log 2>&1; status=$$?; \
	  test $$status -le 1 || { cat build/unit-tests.log; exit $$status; }; \
	  echo "coverage of the unit tests: $$($(IN) -m coverage report --data-file=build/coverage --format=total) % of the" \
	       "lines of pyrunc/ ($$(tail -n 1 build/unit-tests.log))"

engines: build apt-test $(VENV)/.test
	mkdir -p build
	rm -f build/engines.jsonl
	$(IN) -m pytest $(PYTEST) --engines --reports=build/engines.jsonl --guest-timeout=28800 \
	  $(if $(ENGINE),$(wildcard tests/engines/test_$(ENGINE).py tests/engines/test_$(ENGINE)_*.py),tests/engines) \
	  ; status=$$?; $(IN) -m tests.engines.table build/engines.jsonl; exit $$status

faults: build apt-test $(VENV)/.test
	$(IN) -m pytest $(PYTEST) --faults tests/faults

# Shims side by side, driven as containerd does: SHIMS="NAME=PROGRAM[,RUNTIME] ..." to choose them, e.g. with a crun of one's own.
SHIMS := pyrunc=$(abspath build/bench)/bin/containerd-shim-pyrunc-v2 go-runc=containerd-shim-runc-v2,runc \
         go-crun=containerd-shim-runc-v2,crun
bench-shim: build apt-test $(VENV)/.test
	$(IN) pyrunc/_native/install.py $(abspath build/bench)
	$(IN) -m tests.shim.bench $(addprefix --shim ,$(SHIMS)) --json bench-shim.json

SUITES := bookworm trixie testing
ROOTS := build/roots
matrix:
	tests/matrix.sh $(ROOTS) build/matrix $(SUITES)

LIFECYCLES := 50
bench: build apt-test $(VENV)/.test
	$(IN) pyrunc/_native/install.py $(abspath build/bench)
	$(IN) -m tests.bench --runtime build/bench/bin/pyrunc --runtime runc --runtime crun --json bench.json \
	  --lifecycles $(LIFECYCLES)

bench-manager: build apt-test $(VENV)/.test
	$(IN) pyrunc/_native/install.py $(abspath build/bench)
	PYRUNC=$(abspath build/bench)/bin/pyrunc $(IN) -m tests.bench.manager

lint: build $(VENV)/.test $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(IN) -m pytest -q tests/test_layers.py

install: build
	$(IN) pyrunc/_native/install.py $(abspath $(PREFIX)) $(DESTDIR)

clean:
	rm -rf build demo bench.json bench-shim.json .mypy_cache .ruff_cache .pytest_cache .hypothesis pyrunc/_native/*.so pyrunc/formats/*.so \
	  pyrunc/_native/_native.c pyrunc/_native/_seccomp.c $(VENV)/bin/pyrunc $(VENV)/bin/containerd-shim-pyrunc-v2
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +

# The virtual environment sees the package as it is in this checkout; the program in it runs what is frozen into it,
# or, as soon as one source differs from what was frozen, the sources.
$(VENV)/bin/pyrunc: $(SOURCES) $(VENV)/.build
	$(IN) -W ignore setup.py --quiet build_ext --inplace
	ln -sfn ../../../../pyrunc $$($(IN) -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/pyrunc
	$(IN) pyrunc/_native/build_launcher.py $@
	ln -sf pyrunc $(VENV)/bin/containerd-shim-pyrunc-v2
	printf '#!%s\nimport sys\nfrom pyrunc.serve.command import main\nsys.exit(main())\n' $(abspath $(IN)) >$(VENV)/bin/runciter
	chmod +x $(VENV)/bin/runciter

# One stamp for each group of requirements in pyproject.toml; pip is asked only for what is not there.
$(VENV)/.build: EXTRA := build
$(VENV)/.test: EXTRA := test
$(VENV)/.lint: EXTRA := lint
$(VENV)/.build $(VENV)/.test $(VENV)/.lint: $(VENV)/.%: pyproject.toml | apt-build
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pyrunc needs Python 3.11 or later")'
	@test -x $(IN) || $(PYTHON) -m venv $(VENV)
	@missing=$$($(IN) pyrunc/_native/requirements.py $(EXTRA)) && \
	  { test -z "$$missing" || $(IN) -m pip install --quiet --disable-pip-version-check $$missing; }
	@touch $@

# $(call apt,PACKAGES): install what is missing, or say what is. The policy keeps Debian from starting the engines'
# daemons here and now: their tests run in the guest.
define apt
@if command -v dpkg-query >/dev/null; then \
  missing=; for package in $(1); do \
    test "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed || missing="$$missing $$package"; \
  done; \
  if [ -z "$$missing" ]; then :; \
  elif [ "$$(id -u)" = 0 ]; then \
    echo "installing$$missing"; policy=/usr/sbin/policy-rc.d; \
    test -e $$policy || { trap "rm -f $$policy" EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; }; \
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
  else echo "missing Debian packages; as root: apt-get install$$missing" >&2; exit 1; fi; \
fi
endef

apt-build:
	$(call apt,$(APT_BUILD))
apt-test:
	$(call apt,$(APT_TEST))
	$(call apt,$$(dpkg-query -W -f '$${Recommends} ' docker.io podman netavark | tr -c 'a-z0-9.-' '\n' | sort -u | \
	  grep -xF $(APT_RECOMMENDED:%=-e %)))
