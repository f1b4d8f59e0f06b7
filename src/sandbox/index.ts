/** The door of the sandbox: users' Python behind walls. */
export * from './port.ts'
export { openSandbox, type SandboxOptions } from './supervised.ts'
export { findEnvironment, installEnvironment, type EnvironmentState } from './environment.ts'
export { jobManifests, namespaceManifests } from './manifest.ts'
