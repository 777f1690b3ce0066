# nchat for nginx: every command of the project. The work is done by scripts
# in bin/; this file says what needs what.

.PHONY: all deps build install run start stop status test test-asan lint \
        bench demo clean

all: build

deps:
	@bin/nchat-deps build

build: deps
	@bin/nchat-build

run start: build
	@bin/nchat-deps run
	@bin/nchat $@

stop status:
	@bin/nchat $@

clean:
	rm -rf build
