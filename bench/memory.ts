/** How much memory a server of a home has, with its database and all that it started. */
import { readFile, readdir } from 'node:fs/promises'

/** In bytes; pages that several processes share count once. */
export async function memoryOfTree(pid: number, home: string): Promise<number> {
  let sum = 0
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')
    const parent = /^PPid:\s+(\d+)/m.exec(await readFile(`/proc/${name}/status`, 'utf8').catch(() => ''))?.[1]
    const ofHome = command.includes(home) || (parent !== undefined && (await readFile(`/proc/${parent}/cmdline`, 'utf8').catch(() => '')).includes(home))
    if (Number(name) !== pid && !ofHome) continue
    sum += Number(/^Pss:\s+(\d+)/m.exec(await readFile(`/proc/${name}/smaps_rollup`, 'utf8').catch(() => ''))?.[1] ?? 0) * 1024
  }
  return sum
}
