/**
 * Writes python/requirements.lock from python/requirements.in: exact versions with the hashes of the wheels for Linux on x86_64 and aarch64
 * and every CPython from 3.11 on that has them. No source distribution is in it, so that installing never builds or runs anything.
 *
 * Each pair is resolved by pip on its own and must give the same versions, since one lock serves all.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), 'python')
const PYTHONS = ['3.11', '3.12', '3.13', '3.14']
const MACHINES = ['x86_64', 'aarch64']
/** The C library from 2.17 on up to Debian 12's; pip takes tags one by one. */
const GLIBC = [17, 24, 27, 28, 31, 34, 35, 36]

const scratch = mkdtempSync(join(tmpdir(), 'lagoa-python-lock-'))
try {
  const versions = new Map()
  const hashes = new Map()
  for (const python of PYTHONS)
    for (const machine of MACHINES)
      for (const { metadata, download_info: download } of resolve(python, machine)) {
        const name = metadata.name.toLowerCase().replaceAll(/[-_.]+/g, '-')
        const known = versions.get(name) ?? metadata.version
        if (known !== metadata.version) throw new Error(`${name} is ${metadata.version} for CPython ${python} on ${machine} and ${known} elsewhere.`)
        versions.set(name, known)
        hashes.set(name, (hashes.get(name) ?? new Set()).add(download.archive_info.hashes.sha256))
      }
  const byName = (a, b) => (a < b ? -1 : 1)
  const lines = [...versions.keys()]
    .sort(byName)
    .map((name) => [`${name}==${versions.get(name)}`, ...[...hashes.get(name)].sort(byName).map((hash) => `    --hash=sha256:${hash}`)].join(' \\\n'))
  writeFileSync(join(folder, 'requirements.lock'), `# Made from requirements.in by scripts/python-lock.mjs; not edited by hand.\n${lines.join('\n')}\n`)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

function resolve(python, machine) {
  const tags = GLIBC.map((minor) => `--platform=manylinux_2_${minor}_${machine}`).concat(`--platform=manylinux2014_${machine}`)
  const target = ['--only-binary=:all:', '--implementation=cp', `--python-version=${python}`, `--target=${scratch}`, ...tags]
  const report = ['--dry-run', '--ignore-installed', '--quiet', '--report=-']
  const { status, stdout, stderr } = spawnSync('python3', ['-m', 'pip', 'install', ...report, ...target, '-r', join(folder, 'requirements.in')], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  if (status !== 0) throw new Error(`pip found no wheels for CPython ${python} on ${machine}: ${stderr.trim().split('\n').at(-1)}`)
  return JSON.parse(stdout).install
}
