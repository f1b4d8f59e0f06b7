import type { Arguments } from './args.ts'
export async function doctor(_: Arguments): Promise<number> { return 0 }
