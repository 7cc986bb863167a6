# As root on a fresh Debian 12 or 13 with git, make and Python:
#
#   make demo       install what is missing, build, run a container, and print the plan that ran with its times
#   make test       install what is missing, build, and pass every test
#   make engines    every scenario under containerd, CRI, Docker, Podman and Buildah, in the guest; ENGINE=docker: one's
#   make engines-trixie   under containerd and Docker of a later release of Debian, also engines-testing; ENGINE=docker
#   make faults     every kind of system call of every command fails, in every way: an hour; EVERY=1: every single call;
#                   SHARE=1/8: of them the first of eight, the ninth, ...
#   make bench-shim the speed and memory of containerd's shims, side by side
#   make soak       20,000 containers and execs by the manager, and 200 kills of it and of its helpers
#   make soak-shim  100 pods with three containers each, a probe a second in each for 10 minutes, beside containerd's shim
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
# Of program (docs/start.md): snapshot, static, shared or exec; empty for the best that can be made. Clean before and after.
KIND    :=

APT_BUILD := gcc libc6-dev python3-dev python3-venv libpython3-dev libseccomp-dev libcap-dev busybox-static procps
APT_TEST  := runc crun qemu-system-x86 linux-image-amd64 linux-headers-amd64 cpio kmod containerd strace uidmap \
             apparmor criu iproute2 dbus systemd-sysv golang-github-opencontainers-specs-dev secilc \
             docker.io podman buildah conmon containernetworking-plugins netavark aardvark-dns fuse-overlayfs \
             slirp4netns iptables dbus-user-session groff-base chromium
# The engines depend on these on one release of Debian and merely recommend them on another, or do not know them.
APT_RECOMMENDED := docker-cli nftables catatonit passt

SOURCES := $(shell find pyrunc -name '*.py' -o -name '*.[ch]' ! -name '_native.c' ! -name '_seccomp.c') setup.py Makefile

.PHONY: build demo test coverage engines faults matrix bench bench-shim bench-manager soak soak-shim lint install clean apt-build apt-test
build: $(VENV)/bin/pyrunc

demo: build
	tests/demo.sh $(VENV)/bin/pyrunc

test: build apt-test $(VENV)/.test
	@$(IN) -c 'from tests.guest.resctrl import module; module()'
	$(IN) -m pytest $(PYTEST) tests

# Tests that need no guest and call pyrunc in their own process, without the few that take seconds each. What a keeper, a
# shim or a container runs is another process: its lines do not count. A failure here is one of `make test`, too: it judges.
UNIT := $(addprefix tests/,engine kernel runtime config steps cli state cgroups seccomp traceview ttrpc rootfs library manager serve \
        checkpoint/test_criu.py) $(filter-out tests/test_conformance%,$(wildcard tests/test_*.py))
SLOW := many_lives or fault_at_each_step or short_run or gets_a_4xx or mutated_bodies or killed_anywhere or more_rules_than or random_profiles \
        or tree_of_any_depth or tree_deeper or whatever_the_schema or official_schemas or at_many_places or check_of_anything \
        or large_config or in_a_browser
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

# With containerd and Docker of a later release of Debian: what its packages have is unpacked, not installed, and started
# in the guest in place of this release's.
LATER := $(addprefix engines/test_,lines.py containerd.py containerd_more.py cri.py cri_security.py) shim/test_containerd.py
engines-%: build apt-test $(VENV)/.test
	tests/engines/download.sh $* build/engines-$*
	$(IN) -m pytest $(PYTEST) --engines --reports=build/engines-$*.jsonl --guest-timeout=28800 \
	  --engines-from=build/engines-$* $(if $(ENGINE),tests/engines/test_$(ENGINE).py,$(LATER:%=tests/%))

# In two parts, for two processors. Of what is installed: a checkout's program looks at each of its sources first.
FAULTS := --faults $(if $(EVERY),--every-call) $(if $(SHARE),--share=$(SHARE))
faults: build apt-test $(VENV)/.test
	$(IN) pyrunc/_native/install.py $(abspath build/faults)
	@$(foreach part,1 2,$(IN) -m pytest $(PYTEST) $(FAULTS) --part=$(part)/2 --runtime=$(abspath build/faults)/bin/pyrunc \
	  -p no:cacheprovider --guest-timeout=28800 tests/faults >build/faults-$(part).log 2>&1 & pids="$$pids $$!";) \
	  status=0; for pid in $$pids; do wait $$pid || status=1; done; tail -n +1 build/faults-?.log; exit $$status

# Shims side by side, driven as containerd does: SHIMS="NAME=PROGRAM[,RUNTIME] ..." to choose them, e.g. with a crun of one's own.
SHIMS := pyrunc=$(abspath build/bench)/bin/containerd-shim-pyrunc-v2 go-runc=containerd-shim-runc-v2,runc \
         go-crun=containerd-shim-runc-v2,crun
bench-shim: build apt-test $(VENV)/.test
	$(IN) pyrunc/_native/install.py $(abspath build/bench)
	$(IN) -m tests.shim.bench $(addprefix --shim ,$(SHIMS)) --json bench-shim.json

soak-shim: build apt-test $(VENV)/.test
	$(IN) pyrunc/_native/install.py $(abspath build/bench)
	$(IN) -m tests.shim.soak $(addprefix --shim ,$(wordlist 1,2,$(SHIMS)))

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

# Minutes each: lives and execs by the manager, and kills of what works for it; a slice of both is in `make test`.
SOAK := 20000
soak: build apt-test $(VENV)/.test
	PYRUNC_SOAK=$(SOAK) $(IN) -m pytest $(PYTEST) -s --timeout=36000 tests/manager/test_soak.py
	PYRUNC_KILLS=200 $(IN) -m pytest $(PYTEST) --timeout=3600 tests/manager/test_killed.py tests/manager/test_adoption.py

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
	$(IN) pyrunc/_native/build_launcher.py $@ $(if $(KIND),--kind $(KIND))
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
	@# The guest has the newest kernel, and a module for it wants the headers of the same one.
	$(call apt,$$(ls -v /usr/src | sed -n 's/^linux-headers-\(.*-amd64\)$$/linux-image-\1/p' | tail -n 1))
	$(call apt,$$(dpkg-query -W -f '$${Recommends} ' docker.io podman netavark | tr -c 'a-z0-9.-' '\n' | sort -u | \
	  grep -xF $(APT_RECOMMENDED:%=-e %)))
