# nchat for nginx: every command of the project. The scripts in bin/ do the
# work, this file says what needs what.
#
#   NGINX_SRC=<dir>    build against this nginx source tree (1.22 or newer)
#   DESTDIR=<dir>      make install puts everything below this folder
#   NCHAT_...          see bin/nchat

.PHONY: all build install run start stop status reload \
        test test-asan fuzz lint bench bench-cost bench-growth \
        bench-instructions deb demo clean

all: build

build:
	@bin/nchat-deps build
	@bin/nchat-build
	@bin/nchat-deps docs || echo 'there is no npm: no page /api-docs' >&2
	@bin/nchat-docs

install:
	@bin/nchat-install

run start: build
	@bin/nchat-deps run
	@bin/nchat $@

stop status reload:
	@bin/nchat $@

test: build
	@bin/nchat-deps run test deb
	@bin/nchat-deps --promtool || echo 'alert rules will not be tested' >&2
	@bin/nchat-deps browser || echo 'the browser test will be skipped' >&2
	@bin/nchat-test

test-asan:
	@bin/nchat-deps build run test asan
	@bin/nchat-docs
	@bin/nchat-build --asan
	@bin/nchat-test --asan

fuzz:
	@bin/nchat-deps build lint
	@$(MAKE) -C t/fuzz run

lint: build
	@bin/nchat-deps lint
	@bin/nchat-lint

bench: build
	@bin/nchat-deps run bench
	@bench/run

bench-cost bench-growth: build
	@bin/nchat-deps run bench
	@bench/$(@:bench-%=%)

bench-instructions: build
	@bin/nchat-deps run instructions
	@bench/instructions

deb:
	@bin/nchat-deps build deb
	@bin/nchat-deps docs || echo 'there is no npm: no page /api-docs' >&2
	@bin/nchat-docs
	@bin/nchat-deb

demo:
	@bin/nchat-demo

clean:
	@bin/nchat-build --clean
