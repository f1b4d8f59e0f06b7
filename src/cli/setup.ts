/** From flags to a configuration and a logger: what every command starts with. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createLog, invalid, missing, type Log } from '../base/index.ts'
import { hidePasswords, loadConfigFile, processEnvironment, resolveConfig, settingsFrom, variableFor, type Config } from '../platform/index.ts'
import type { Arguments } from './args.ts'

export async function configFor({ values, positionals }: Arguments, folderArgument: boolean): Promise<Config> {
  const named = folderArgument ? positionals[0] : undefined
  if (named !== undefined && values.project !== undefined)
    throw invalid('cli.two_folders', `Both ${named} and --project ${values.project} name the project`, { hint: 'Give one of them.' })
  refuseEmpty(values)
  const project = resolve(values.project ?? named ?? '.')
  const file = await loadConfigFile(project, values.config)
  const http = { ...(values.port === undefined ? {} : { port: values.port }), ...(values.host === undefined ? {} : { host: values.host }) }
  return resolveConfig(project, [
    { from: values.config ?? 'lagoa.config.ts', values: { ...file?.options } },
    { from: 'the environment', values: settingsFrom(processEnvironment()), spell: variableFor },
    { from: 'the flags', values: { ...(values.home === undefined ? {} : { home: resolve(values.home) }), http }, spell: (path) => `--${path.at(-1)}` },
  ])
}

/** Where state lives by the flags and the environment alone: for commands that must work before the configuration file can be read. */
export async function homeFor({ values }: Arguments): Promise<string> {
  refuseEmpty(values)
  const project = resolve(values.project ?? '.')
  const info = await stat(project).catch(() => null)
  if (!info?.isDirectory()) throw missing('project.no_folder', `There is no folder ${project}`, { hint: 'Name an existing project with --project DIR.' })
  if (values.home !== undefined) return resolve(values.home)
  const { home } = settingsFrom(processEnvironment())
  if (home === '') throw invalid('config.invalid', 'LAGOA_HOME must not be empty', { hint: 'Name a folder, or unset it.' })
  return resolve(project, typeof home === 'string' ? home : '.lagoa')
}

function refuseEmpty(values: Arguments['values']): void {
  for (const name of ['project', 'config', 'home', 'data', 'programs'] as const)
    if (values[name] === '') throw invalid('cli.empty', `--${name} is empty`, { hint: `Name a path after --${name}, or leave it out.` })
}

export function loggerFor(config: Config, { values }: Arguments, quietest: 'info' | 'warn' = 'info'): Log {
  const level = values.verbose ? 'debug' : config.log.level === 'info' ? quietest : config.log.level
  const format = config.log.format === 'auto' ? (process.stderr.isTTY ? 'pretty' : 'json') : config.log.format
  return createLog({ level, format, write: (line) => process.stderr.write(`${hidePasswords(line)}\n`) })
}
