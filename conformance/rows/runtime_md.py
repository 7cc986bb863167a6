"""Rows of runtime.md and runtime-linux.md. How to read them: conformance/rows/__init__.py."""

TEXT = """
== runtime.md#scope-of-a-container
* who creates a container can do all operations on it
  > The entity using a runtime to create a container MUST be able to use the operations defined in this specification
  > against that same container.

== runtime.md#state
ociVersion = of the configuration
id = the container's id
* an id is unique
  > This MUST be unique across all containers on this host.
status = creating, created, running, stopped; paused besides
* additional states are new ones
  > they MUST be used to represent new runtime states not defined above
pid = of the container's process, when there is one; in hooks as seen from where they run
bundle = absolute path
annotations = those of config.json
* the state is what its schema says
  > When serialized in JSON, the format MUST adhere to the JSON Schema `schema/state-schema.json`.

== runtime.md#lifecycle
* create makes what config.json asks for
  > The container's runtime environment MUST be created according to the configuration in `config.json`.
* what cannot be made is an error
  > If the runtime is unable to create the environment specified in the `config.json`, it MUST generate an error.
* create does not run the program
  > While the resources requested in the `config.json` MUST be created, the user-specified program … MUST NOT be run at
  > this time
* later changes of config.json do nothing
  > Any updates to `config.json` after this step MUST NOT affect the container.
* prestart hooks run, and one that fails ends the container
  > The `prestart` hooks MUST be invoked by the runtime. If any `prestart` hook fails, the runtime MUST generate an
  > error, stop the container, and continue the lifecycle at step 12.
* createRuntime hooks run, and one that fails ends the container
  > The `createRuntime` hooks MUST be invoked by the runtime. If any `createRuntime` hook fails, the runtime MUST
  > generate an error, stop the container, and continue the lifecycle at step 12.
* createContainer hooks run, and one that fails ends the container
  > The `createContainer` hooks MUST be invoked by the runtime. If any `createContainer` hook fails, the runtime MUST
  > generate an error, stop the container, and continue the lifecycle at step 12.
* startContainer hooks run, and one that fails ends the container
  > The `startContainer` hooks MUST be invoked by the runtime. If any `startContainer` hook fails, the runtime MUST
  > generate an error, stop the container, and continue the lifecycle at step 12.
* start runs the program
  > The runtime MUST run the user-specified program, as specified by `process`.
* poststart hooks run, and one that fails ends the container
  > The `poststart` hooks MUST be invoked by the runtime. If any `poststart` hook fails, the runtime MUST
  > generate an error, stop the container, and continue the lifecycle at step 12.
* delete undoes what create made
  > The container MUST be destroyed by undoing the steps performed during create phase
* poststop hooks run, and one that fails is a warning
  > The `poststop` hooks MUST be invoked by the runtime. If any `poststop` hook fails, the runtime MUST log a warning,
  > but the remaining hooks and lifecycle continue

== runtime.md#errors
* an error leaves everything as it was
  > generating an error MUST leave the state of the environment as if the operation were never attempted

== runtime.md#warnings
* a warning changes nothing
  > it MUST continue as if the warning had not been logged

== runtime.md#operations
* all operations are there
  > Unless otherwise stated, runtimes MUST support the following operations.

== runtime.md#query-state
* state needs an id
  > This operation MUST generate an error if it is not provided the ID of a container.
* state of no container is an error
  > Attempting to query a container that does not exist MUST generate an error.
* state says the container's state
  > This operation MUST return the state of a container as specified in the State section.

== runtime.md#create
* create needs an id and a bundle
  > MUST generate an error if it is not provided a path to the bundle and the container ID
* an id that is taken or invalid is an error
  > not unique across all containers within the scope of the runtime, or is not valid in any other way, the
  > implementation MUST generate an error and a new container MUST NOT be created
* create makes a container
  > This operation MUST create a new container.
* every property but process is applied
  > All of the properties configured in `config.json` except for `process` MUST be applied.
* args wait for start
  > `process.args` MUST NOT be applied until triggered by the `start` operation.
* what cannot be applied is an error
  > If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new
  > container MUST NOT be created.

== runtime.md#start
* start needs an id
  > MUST generate an error if it is not provided the container ID
* only a created container starts
  > Attempting to `start` a container that is not `created` MUST have no effect on the container and MUST generate an
  > error.
* start runs the configured program
  > This operation MUST run the user-specified program as specified by `process`.
* start without a process is an error
  > This operation MUST generate an error if `process` was not set.

== runtime.md#kill
* kill needs an id
  > MUST generate an error if it is not provided the container ID
* only a created or running container gets a signal
  > neither `created` nor `running` MUST have no effect on the container and MUST generate an error
* the signal arrives
  > This operation MUST send the specified signal to the container process.

== runtime.md#delete
* delete needs an id
  > MUST generate an error if it is not provided the container ID
* only a stopped container is deleted
  > Attempting to `delete` a container that is not `stopped` MUST have no effect on the container and MUST generate an
  > error.
* delete deletes what create made
  > Deleting a container MUST delete the resources that were created during the `create` step.
* delete leaves what create did not make
  > resources associated with the container, but not created by this container, MUST NOT be deleted

== runtime-linux.md#file-descriptors
* only the standard streams are kept open
  > By default, only the `stdin`, `stdout` and `stderr` file descriptors are kept open for the application
* descriptors for socket activation are passed on
  > MAY pass additional file descriptors to the application to support features such as socket activation

== runtime-linux.md#dev-symbolic-links
* /dev/fd
  > runtimes MUST create the following symlinks if the source file exists after processing `mounts`
* /dev/stdin
  > runtimes MUST create the following symlinks if the source file exists after processing `mounts`
* /dev/stdout
  > runtimes MUST create the following symlinks if the source file exists after processing `mounts`
* /dev/stderr
  > runtimes MUST create the following symlinks if the source file exists after processing `mounts`
"""
