/** What happens to a cluster in a round. The seed alone chooses; how long things take is left to the machine. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { LEASE_MS, type ChaosNode, type Cluster } from './cluster.ts'
import { random } from './random.ts'

export interface Fault {
  readonly name: string
  /** Answers when the fault is over: from then on time to recovery counts. */
  strike(cluster: Cluster): Promise<void>
  /** Puts back what the others had to do without. */
  mend?(cluster: Cluster): Promise<void>
}

type Kind = (next: () => number, nodes: number) => Fault

const ENGINES = ['kafka', 'redis', 'rabbitmq', 'postgres'] as const

const KINDS: readonly Kind[] = [
  (next, nodes) => {
    const index = pick(next, nodes)
    return {
      name: `node ${index} is killed`,
      strike: (cluster) => nodeOf(cluster, index).kill(),
      mend: (cluster) => nodeOf(cluster, index).start(),
    }
  },
  (next) => {
    const awayMs = awayFor(next)
    return {
      name: `the Kafka broker is killed and away for ${awayMs} ms`,
      async strike({ kafka }) {
        await kafka.kill()
        await sleep(awayMs)
        await kafka.restart()
      },
    }
  },
  () => ({
    name: 'Redis is emptied',
    async strike({ redis }) {
      await emptyRedis(redis)
    },
  }),
  (next) => {
    const awayMs = awayFor(next)
    return {
      name: `Redis is killed and away for ${awayMs} ms`,
      async strike({ redis }) {
        await redis.kill()
        await sleep(awayMs)
        await redis.start()
      },
    }
  },
  (next) => {
    const awayMs = awayFor(next)
    return {
      name: `RabbitMQ is killed and away for ${awayMs} ms`,
      async strike({ rabbit }) {
        await rabbit.kill()
        await sleep(awayMs)
        await rabbit.start()
      },
    }
  },
  (next) => {
    const awayMs = awayFor(next)
    return {
      name: `PostgreSQL is stopped at once and away for ${awayMs} ms`,
      async strike({ postgres }) {
        await postgres.kill()
        await sleep(awayMs)
        await postgres.start()
      },
    }
  },
  (next, nodes) => {
    const index = pick(next, nodes)
    const frozenMs = LEASE_MS + 500 + Math.round(next() * 2_000)
    return {
      name: `node ${index} stands still for ${frozenMs} ms and goes on as if nothing had been`,
      async strike(cluster) {
        const { child } = nodeOf(cluster, index).served
        child.kill('SIGSTOP')
        try {
          await sleep(frozenMs)
        } finally {
          child.kill('SIGCONT')
        }
      },
    }
  },
  (next, nodes) => disturbance(next, nodes, 'stall'),
  (next, nodes) => disturbance(next, nodes, 'cut'),
]

/** The ways to an engine carry nothing, or break: of one node, or of all. */
function disturbance(next: () => number, nodes: number, how: 'stall' | 'cut'): Fault {
  const engine = ENGINES[pick(next, ENGINES.length)] ?? 'kafka'
  const only = next() < 0.5 ? pick(next, nodes) : null
  const ms = 500 + Math.round(next() * 1.5 * LEASE_MS)
  const whose = only === null || engine === 'kafka' ? 'all nodes' : `node ${only}`
  return {
    name: `the way from ${whose} to ${engine} is ${how === 'stall' ? 'held up' : 'cut'} for ${ms} ms`,
    async strike(cluster) {
      const ways = cluster.proxies(engine).filter((_, index) => engine === 'kafka' || only === null || index === only)
      for (const way of ways) way[how]()
      try {
        await sleep(ms)
      } finally {
        for (const way of ways) way.pass()
      }
    },
  }
}

async function emptyRedis({ url, password }: Cluster['redis']): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(`AUTH ${password}\r\nFLUSHALL\r\nQUIT\r\n`)
  const said = await text(socket)
  if (said.split('\r\n')[1] !== '+OK') throw new Error(`Redis did not take FLUSHALL: ${said}`)
}

const awayFor = (next: () => number): number => Math.round(next() * 3_000)
const pick = (next: () => number, count: number): number => Math.floor(next() * count)

function nodeOf({ nodes }: Cluster, index: number): ChaosNode {
  const node = nodes[index]
  if (!node) throw new Error(`there is no node ${index}`)
  return node
}

/** All kinds by turns, in an order of the seed's, so that a short run meets as many as it can. */
export function chooseFaults(seed: number, rounds: number, nodes: number): Fault[] {
  const next = random(seed)
  const faults: Fault[] = []
  while (faults.length < rounds) {
    const left = [...KINDS]
    while (left.length > 0 && faults.length < rounds) {
      const [kind] = left.splice(pick(next, left.length), 1)
      if (kind) faults.push(kind(next, nodes))
    }
  }
  return faults
}
