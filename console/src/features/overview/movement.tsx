/** Rows on their way from sources through bronze, silver and gold to whoever reads them. */
import { useElementSize } from '@mantine/hooks'
import { Link } from '@tanstack/react-router'
import type { Overview } from '../../api/index.ts'
import { Panel } from '../../ui/parts.tsx'
import { Empty } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { layoutBands, type Tier } from './bands.ts'

const order: readonly Tier[] = ['bronze', 'silver', 'gold']
const ink = { bronze: 'bz', silver: 'sv', gold: 'gd' } as const
const mostRows = 6

export function Movement({ movement }: { movement: Overview['movement'] }) {
  const { say, format } = useWords()
  const { ref, width } = useElementSize()
  const sources = movement.sources.slice(0, mostRows)
  const consumers = movement.consumers
    .slice(0, mostRows)
    .map(({ kind, count }) => ({ name: say(`consumer.${kind}`), detail: say(`consumer.${kind}.detail`, { n: count }) }))
  const facts = (tier: Tier): { tables: number; rows: number; bytes: number } =>
    movement.tiers.find((each) => each.tier === tier) ?? { tables: 0, rows: 0, bytes: 0 }
  // A source that rests is told by what it brought.
  const pace = (source: (typeof sources)[number]): string =>
    source.perSecond > 0 ? say('movement.perSecond', { n: format.rate(source.perSecond) }) : say('movement.rows', { rows: format.count(source.records) })
  const nothing = sources.length === 0 && movement.tiers.every((tier) => tier.tables === 0)

  return (
    <Panel
      title={say('movement.title')}
      right={
        <>
          <span className="wide-only">{say('movement.scale')}</span>
          <Link to="/lineage" className="link">
            {say('movement.lineage')}
          </Link>
        </>
      }
    >
      <div ref={ref} className="movement">
        {nothing ? (
          <Empty title={say('movement.empty.title')}>{say('movement.empty.text')}</Empty>
        ) : width > 0 && width < 700 ? (
          <ul className="movement-list">
            {sources.map((source) => (
              <li key={source.name}>
                <span className="quiet">{source.kind}</span>{' '}
                <Link to="/streams/$name" params={{ name: source.name }}>
                  <b>{source.name}</b>
                </Link>
                <span className="r">{pace(source)}</span>
              </li>
            ))}
            {order.map((tier) => (
              <li key={tier} className={`tier ${tier}`}>
                <Link to="/lake" search={{ tier }}>
                  <b>{say(`tier.${tier}`)}</b>
                </Link>
                <span className="r">
                  {say('movement.tables', { n: facts(tier).tables })} · {say('movement.rows', { rows: format.count(facts(tier).rows) })} ·{' '}
                  {format.bytes(facts(tier).bytes)}
                </span>
              </li>
            ))}
            {consumers.map((consumer) => (
              <li key={consumer.name}>
                <b>{consumer.name}</b>
                <span className="r">{consumer.detail}</span>
              </li>
            ))}
          </ul>
        ) : width > 0 ? (
          diagram(width - 28)
        ) : (
          <div style={{ height: 186 }} />
        )}
      </div>
    </Panel>
  )

  function diagram(wide: number) {
    const plan = layoutBands(
      {
        sources: sources.map((source) => source.records),
        tiers: { bronze: facts('bronze').rows, silver: facts('silver').rows, gold: facts('gold').rows },
        consumers: consumers.length,
      },
      wide,
    )
    const { bronze, silver } = plan.tiers
    const between = (silver.x + bronze.x + bronze.width) / 2
    return (
      <svg width={wide} height={plan.height} role="group" aria-label={say('movement.title')}>
        {plan.bands.map((each) => (
          <path key={each.id} d={each.path} fill={`var(--${ink[each.tier]}f)`} opacity={each.faint ? 0.22 : 0.32} />
        ))}
        {sources.map((source, i) => {
          const box = plan.sources[i]
          if (box === undefined) return null
          const y = box.y + box.height / 2
          return (
            <Link key={source.name} to="/streams/$name" params={{ name: source.name }}>
              <rect {...box} rx={2} fill="var(--line2)" />
              <text x={box.x - 9} y={y - 2} textAnchor="end" className="name">
                {cut(source.name, 22)}
              </text>
              <text x={box.x - 9} y={y + 13} textAnchor="end" className="detail">
                {pace(source)} · {source.kind}
              </text>
            </Link>
          )
        })}
        {consumers.map((consumer, i) => {
          const box = plan.consumers[i]
          if (box === undefined) return null
          const y = box.y + box.height / 2
          return (
            <g key={consumer.name}>
              <rect {...box} rx={2} fill="var(--line2)" />
              <text x={box.x + 13} y={y - 2} className="name">
                {cut(consumer.name, 22)}
              </text>
              <text x={box.x + 13} y={y + 13} className="detail">
                {cut(consumer.detail, 26)}
              </text>
            </g>
          )
        })}
        {movement.keptShare !== null && silver.x - bronze.x - bronze.width > 90 && (
          <g textAnchor="middle">
            <text x={between} y={plan.height / 2 - 2} className="name">
              {say('movement.kept', { share: format.percent(movement.keptShare) })}
            </text>
            {silver.x - bronze.x - bronze.width > 114 && (
              <text x={between} y={plan.height / 2 + 13} className="detail on-band">
                {say('movement.kept.how')}
              </text>
            )}
          </g>
        )}
        {order.map((tier) => {
          const box = plan.tiers[tier]
          const { tables, rows, bytes } = facts(tier)
          const top = box.y + (box.height - 62) / 2 + 12
          return (
            <Link key={tier} to="/lake" search={{ tier }}>
              <rect {...box} rx={6} fill={`var(--${ink[tier]}s)`} stroke={`var(--${ink[tier]}f)`} strokeDasharray={tables === 0 ? '4 3' : undefined} />
              <rect x={box.x} y={box.y} width={4} height={box.height} rx={2} fill={`var(--${ink[tier]}f)`} />
              <text x={box.x + 16} y={top} fontSize="13.5" fontWeight="620" fill={`var(--${ink[tier]})`}>
                {say(`tier.${tier}`)}
              </text>
              <text x={box.x + 16} y={top + 18} className="fact">
                {say('movement.tables', { n: tables })}
              </text>
              <text x={box.x + 16} y={top + 34} className="fact">
                {say('movement.rows', { rows: format.count(rows) })}
              </text>
              <text x={box.x + 16} y={top + 50} className="fact">
                {format.bytes(bytes)}
              </text>
            </Link>
          )
        })}
      </svg>
    )
  }
}

const cut = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, most - 1)}…`)
