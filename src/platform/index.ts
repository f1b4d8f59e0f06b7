/** Wiring: configuration, loading, starting and stopping. */
export { resolveConfig, type Config } from './config.ts'
export { hidePasswords, shownConfig } from './secrets.ts'
export { processEnvironment, settingsFrom, variableFor } from './environment.ts'
export { loadConfigFile, loadProject, type Project } from './loader.ts'
export { openPlatform, type OpenPlatformOptions, type Platform, type PlatformListener, type Service } from './platform.ts'
export type { Feed, Pipeline } from './pipeline.ts'
export { runOnce, type OnceSummary } from './once.ts'
export { watchProject } from './watch.ts'
