/** Where programs are on this machine: in the folders of PATH and in those where packages put what they keep off it. */
import { execFile } from 'node:child_process'
import { access, constants, readdir } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Machine {
  /** The variables of the process that asks. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What the programs get as PATH: some are scripts that call others. */
  readonly path: string
  /** The first program of these names; folders in `first` are looked at before the PATH, those in `last` after it. */
  program(names: readonly string[], places?: { readonly first?: readonly string[]; readonly last?: readonly string[] }): Promise<string | null>
  /** The folders of `path` that are looked at for every program. */
  readonly folders: readonly string[]
  /** Folders that this machine's packages and this checkout use; none when the folders to look in were given. */
  places(...folders: readonly string[]): readonly string[]
}

const COMMON = ['/usr/local/bin', '/usr/bin', '/bin', '/opt/homebrew/bin']
/** What the tests of a checkout of Lagoa have fetched. */
const FETCHED = fileURLToPath(new URL('../../node_modules/.lagoa/', import.meta.url))

export const fetched = (folder: string): string => join(FETCHED, folder)

/** With `folders` (divided as in PATH) nothing else is looked at. */
export function thisMachine(environment: Machine['environment'], folders?: string): Machine {
  const given = (folders ?? environment.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => resolve(folder))
  const path = folders === undefined ? [...new Set([...given, ...COMMON])] : given
  const places = (...extra: readonly string[]): readonly string[] => (folders === undefined ? extra : [])
  return {
    environment,
    // Scripts need a shell's tools, wherever the programs themselves may be.
    path: [...new Set([...path, ...COMMON])].join(delimiter),
    folders: path,
    places,
    async program(names, { first = [], last = [] } = {}) {
      for (const name of names)
        for (const folder of [...places(...first), ...path, ...places(...last)]) if (await isProgram(join(folder, name))) return join(folder, name)
      return null
    },
  }
}

export async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

/** The names in a folder; none when it cannot be read. */
export const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => [])

/** What a program prints about itself, on either stream; empty when it cannot run. */
export function said(command: string, args: readonly string[]): Promise<string> {
  return new Promise((done) => {
    execFile(command, [...args], { timeout: 10_000 }, (error, stdout, stderr) => done(error ? '' : stdout + stderr))
  })
}
