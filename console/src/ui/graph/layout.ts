/**
 * Where the boxes of a graph stand, computed in a worker: 200 boxes take it about a second. What was placed once is remembered. A layout
 * that nobody waits for any more is stopped with its worker when it is a long one, for it cannot be interrupted otherwise; a short one is over sooner than a new worker starts.
 */
import ELK, { type ELK as Elk } from 'elkjs/lib/elk-api.js'
import workerUrl from 'elkjs/lib/elk-worker.min.js?url'

export type LayoutPlan = {
  readonly boxes: readonly { readonly id: string; readonly width: number; readonly height: number }[]
  /** From box to box, each pair once. */
  readonly lines: readonly (readonly [string, string])[]
}
export type Positions = ReadonlyMap<string, { readonly x: number; readonly y: number }>

const longestMs = 60_000
const remembered = 40
/** Up to so many boxes a layout is a matter of milliseconds. */
const quick = 40

const known = new Map<string, Positions>()

export function knownLayout(plan: LayoutPlan): Positions | undefined {
  return known.get(JSON.stringify(plan))
}

export class Layouts {
  #elk: Elk | undefined
  #failed: (error: Error) => void = () => undefined

  async place(plan: LayoutPlan, signal: AbortSignal): Promise<Positions> {
    const key = JSON.stringify(plan)
    const before = known.get(key)
    if (before !== undefined) return before
    signal.throwIfAborted()
    const elk = (this.#elk ??= this.#start())
    const stop = AbortSignal.any([signal, AbortSignal.timeout(longestMs)])
    let onAbort = (): void => undefined
    const broken = new Promise<never>((_, reject) => {
      this.#failed = reject
      // At once, so that a layout that is asked for next gets a worker of its own.
      onAbort = () => {
        if (!signal.aborted || plan.boxes.length > quick) this.#drop(elk)
        reject(stop.reason)
      }
      stop.addEventListener('abort', onAbort)
    })
    try {
      const placed = await Promise.race([elk.layout(graphOf(plan)), broken])
      const positions: Positions = new Map((placed.children ?? []).map(({ id, x = 0, y = 0 }) => [id, { x, y }]))
      known.set(key, positions)
      for (const oldest of [...known.keys()].slice(0, -remembered)) known.delete(oldest)
      return positions
    } catch (error) {
      if (!signal.aborted) this.#drop(elk)
      throw error
    } finally {
      stop.removeEventListener('abort', onAbort)
    }
  }

  /** Loads the worker before the first graph is there to be placed: that takes longer than most layouts. */
  warm(): void {
    this.#elk ??= this.#start()
  }

  close(): void {
    if (this.#elk !== undefined) this.#drop(this.#elk)
  }

  #drop(elk: Elk): void {
    elk.terminateWorker()
    if (this.#elk === elk) this.#elk = undefined
  }

  #start(): Elk {
    return new ELK({
      workerFactory: () => {
        const worker = new Worker(workerUrl)
        worker.addEventListener('error', (event) => this.#failed(new Error(event.message)))
        return worker
      },
    })
  }
}

function graphOf({ boxes, lines }: LayoutPlan) {
  return {
    id: 'graph',
    layoutOptions: {
      'elk.algorithm': 'layered',
      'elk.direction': 'RIGHT',
      'elk.spacing.nodeNode': '22',
      'elk.spacing.componentComponent': '40',
      'elk.layered.spacing.nodeNodeBetweenLayers': '52',
      'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
      'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
    },
    children: boxes.map(({ id, width, height }) => ({ id, width, height })),
    edges: lines.map(([from, to], i) => ({ id: `l${i}`, sources: [from], targets: [to] })),
  }
}
