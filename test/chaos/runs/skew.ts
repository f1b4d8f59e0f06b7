/**
 * Loaded before a program (`--import`), gives it a wrong clock: CHAOS_SKEW_MS off, and with CHAOS_JUMP_MS right and wrong by turns of that
 * length. Timers and `process.hrtime` go on as they are, as when somebody sets the clock of a machine.
 */
const skewMs = Number(process.env.CHAOS_SKEW_MS ?? 0)
const jumpMs = Number(process.env.CHAOS_JUMP_MS ?? 0)
const now = Date.now.bind(Date)
const wrong = (): number => now() + (jumpMs > 0 && Math.floor(performance.now() / jumpMs) % 2 === 0 ? 0 : skewMs)

globalThis.Date = new Proxy(Date, {
  construct: (target, given: unknown[], made) => Reflect.construct(target, given.length === 0 ? [wrong()] : given, made) as object,
  get: (target, name) => (name === 'now' ? wrong : (Reflect.get(target, name) as unknown)),
})
