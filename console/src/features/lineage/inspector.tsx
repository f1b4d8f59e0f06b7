/** What is known of one asset, beside the graph: whose it is, its columns, of what a column is made, and what would break without it. */
import { Tabs } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { type AssetShape, assetQuery, type LineageEdge, type LineageShape, streamsQuery } from '../../api/index.ts'
import { Find } from '../../ui/filters.tsx'
import { kindIcons, placeName, tierOf } from '../../ui/assets.ts'
import { unitLabel } from '../../ui/format.ts'
import { Mark, Tag } from '../../ui/parts.tsx'
import { Failure, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Impact, sentence } from './impact.tsx'
import { sentenceOfUse } from './sentences.ts'

const columnsToFilter = 12
const mostColumns = 300

export type InspectorProps = {
  id: string
  column: string | undefined
  trace: LineageShape | undefined
  isStart: boolean
  tab: 'about' | 'impact'
  onTab: (tab: 'about' | 'impact') => void
  onInspect: (asset: string) => void
  onTrace: (asset: string, column: string | undefined) => void
  onStart: (asset: string, column: string | undefined) => void
}

export function Inspector(props: InspectorProps) {
  const { say } = useWords()
  const { id, column, tab, onTab, onInspect } = props
  const asset = useQuery(assetQuery(id))
  return (
    <section className="panel inspector" aria-label={say('lineage.panel', { name: placeName({ asset: id }) })}>
      {asset.data === undefined ? (
        asset.isError ? (
          <Failure error={asset.error} onRetry={() => void asset.refetch()} />
        ) : (
          <LoadingRows rows={10} />
        )
      ) : (
        <Head asset={asset.data} {...props} />
      )}
      {asset.data !== undefined && (
        <Tabs value={tab} onChange={(next) => onTab(next === 'impact' ? 'impact' : 'about')} keepMounted={false} className="panel-tabs">
          <Tabs.List aria-label={placeName({ asset: id })}>
            <Tabs.Tab value="about">{say('lineage.tab.about')}</Tabs.Tab>
            <Tabs.Tab value="impact">{say('lineage.tab.impact')}</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="about">
            <About asset={asset.data} {...props} />
          </Tabs.Panel>
          <Tabs.Panel value="impact">
            <Impact place={{ asset: id, column }} onInspect={onInspect} />
          </Tabs.Panel>
        </Tabs>
      )}
    </section>
  )
}

function Head({ asset, column, isStart, onStart }: InspectorProps & { asset: AssetShape }) {
  const { say } = useWords()
  const tier = tierOf(asset.id)
  const Icon = kindIcons[asset.kind]
  return (
    <div className="inspector-head">
      <h2>{asset.name}</h2>
      <div className="facts-line">
        <Tag kind={tier ?? 'plain'}>
          <Icon aria-hidden size={12} />
          {tier === undefined ? say(`asset.${asset.kind}`) : say('asset.tableOf', { tier: say(`tier.${tier}`) })}
        </Tag>
        {asset.tags.map((tag) => (
          <Tag key={tag} kind="plain">
            #{tag}
          </Tag>
        ))}
      </div>
      {asset.description !== undefined && <p>{asset.description}</p>}
      <p className="quiet small">{asset.owner === undefined ? say('lineage.noOwner') : say('lineage.owner', { owner: asset.owner })}</p>
      <div className="inspector-acts">
        <OpenScreen asset={asset} />
        {!isStart && (
          <button type="button" className="action-link" onClick={() => onStart(asset.id, column)}>
            {say('lineage.startHere')}
          </button>
        )}
      </div>
      {asset.unknown !== undefined && (
        <div className="unknown" role="note">
          <Mark tone="warn" />
          <div>
            <strong>{say('lineage.unknown')}</strong>
            <div className="small">{asset.unknown}</div>
          </div>
        </div>
      )}
    </div>
  )
}

/** The screen that shows the asset itself, where there is one. */
function OpenScreen({ asset }: { asset: AssetShape }) {
  const { say } = useWords()
  const streams = useQuery(streamsQuery).data?.items
  if (asset.kind === 'table')
    return (
      <Link to="/lake/$name" params={{ name: asset.name }} className="action-link">
        {say('lineage.openTable')}
      </Link>
    )
  if (asset.kind === 'alert')
    return (
      <Link to="/alerts" search={{ tab: 'rules', rule: asset.name }} className="action-link">
        {say('lineage.openAlert')}
      </Link>
    )
  if (asset.kind === 'task')
    return (
      <Link to="/flows/$name" params={{ name: asset.name.slice(0, asset.name.indexOf('.')) }} className="action-link">
        {say('lineage.openFlow')}
      </Link>
    )
  const stream = asset.kind === 'stream' ? asset.name : asset.partOf === undefined ? undefined : placeName({ asset: asset.partOf })
  if (stream === undefined || (asset.kind !== 'stream' && asset.kind !== 'live' && asset.kind !== 'dead_letters')) return null
  const known = streams?.find(({ name }) => name === stream)
  if (asset.kind !== 'live')
    return (
      <>
        <Link to="/streams/$name" params={{ name: stream }} search={asset.kind === 'stream' ? {} : { tab: 'letters' }} className="action-link">
          {say('lineage.openStream')}
        </Link>
        {asset.kind === 'stream' && known?.live !== undefined && (
          <Link to="/live" search={{ stream }} className="action-link">
            {say('lineage.openLive')}
          </Link>
        )}
      </>
    )
  if (known?.live === undefined) return null
  return (
    <Link to="/live" search={{ stream }} className="action-link">
      {say('lineage.openLive')}
    </Link>
  )
}

function About({ asset, column, trace, onInspect, onTrace }: InspectorProps & { asset: AssetShape }) {
  const { say, format } = useWords()
  const [typed, setTyped] = useState('')
  const wanted = typed.trim().toLowerCase()
  const matching = asset.columns.filter(({ name }) => name.toLowerCase().includes(wanted))
  const shown = matching.slice(0, mostColumns)
  const facts = asset.columns.find(({ name }) => name === column)
  return (
    <>
      {asset.partOf !== undefined && (
        <p className="inspector-line">
          {say('lineage.partOf')}{' '}
          <button type="button" className="plain-button link" onClick={() => onInspect(asset.partOf ?? '')}>
            {placeName({ asset: asset.partOf })}
          </button>
        </p>
      )}
      {column !== undefined && (
        <div className="chosen-column">
          <div className="chosen-head">
            <h3 className="mono">{column}</h3>
            <button type="button" className="action-link" onClick={() => onTrace(asset.id, undefined)}>
              {say('lineage.untrace')}
            </button>
          </div>
          {facts?.description !== undefined && <p>{facts.description}</p>}
          {facts?.tags !== undefined && facts.tags.length > 0 && <p className="quiet small">{facts.tags.map((tag) => `#${tag}`).join(' ')}</p>}
          {trace !== undefined && <Ways asset={asset.id} column={column} edges={trace.edges} onTrace={onTrace} onInspect={onInspect} />}
        </div>
      )}
      {asset.columns.length === 0 ? (
        <p className="inspector-line quiet">{say('lineage.noColumns')}</p>
      ) : (
        <>
          <div className="columns-head">
            <h3>{say('lineage.columns', { n: asset.columns.length })}</h3>
            <span className="quiet small">{say('lineage.columns.hint')}</span>
          </div>
          {asset.columns.length > columnsToFilter && (
            <div className="columns-find">
              <Find label={say('lineage.columns.find')} value={typed} onChange={setTyped} />
            </div>
          )}
          <ul className="columns">
            {shown.map((each) => (
              <li key={each.name}>
                <button
                  type="button"
                  className="plain-button"
                  aria-pressed={each.name === column}
                  title={each.description}
                  onClick={() => onTrace(asset.id, each.name === column ? undefined : each.name)}
                >
                  <span className="cut">{each.name}</span>
                  <span className="mono quiet cut">
                    {each.type ?? ''}
                    {each.unit !== undefined && ` ${unitLabel(each.unit)}`}
                  </span>
                </button>
              </li>
            ))}
          </ul>
          {shown.length < matching.length && (
            <p className="inspector-line quiet small">
              {say('lineage.columns.shown', { shown: format.number(shown.length), all: format.number(matching.length) })}
            </p>
          )}
          {matching.length === 0 && <p className="inspector-line quiet">{say('lineage.columns.none')}</p>}
        </>
      )}
    </>
  )
}

/** One step up and one step down from a column: of what it is made, and what is made of it or depends on it. */
function Ways({
  asset,
  column,
  edges,
  onTrace,
  onInspect,
}: {
  asset: string
  column: string
  edges: readonly LineageEdge[]
  onTrace: InspectorProps['onTrace']
  onInspect: InspectorProps['onInspect']
}) {
  const { say } = useWords()
  const isHere = (place: LineageEdge['from']): boolean => place.asset === asset && place.column === column
  const up = edges.filter(({ to, how }) => isHere(to) || (how === 'unknown' && to.asset === asset))
  const down = edges.filter(({ from, how }) => isHere(from) || (how === 'unknown' && from.asset === asset))
  const here = placeName({ asset, column })
  const place = ({ asset: to, column: name }: LineageEdge['from']) => (
    <button type="button" className="plain-button link" onClick={() => (name === undefined ? onInspect(to) : onTrace(to, name))}>
      {placeName({ asset: to, column: name })}
    </button>
  )
  return (
    <dl className="ways">
      <dt>{say('lineage.comesFrom')}</dt>
      {up.length === 0 && <dd className="quiet">{say('lineage.comesFrom.none')}</dd>}
      {up.map((edge, i) => (
        <dd key={i}>
          {place(edge.from)} <span className="quiet">{say(`how.${edge.how}`)}</span>
        </dd>
      ))}
      <dt>{say('lineage.goesInto')}</dt>
      {down.length === 0 && <dd className="quiet">{say('lineage.goesInto.none')}</dd>}
      {down.map((edge, i) => (
        <dd key={i}>
          {place(edge.to)} <span className="quiet">{edge.use === undefined ? say(`how.${edge.how}`) : sentence(say, sentenceOfUse(edge.use, here))}</span>
        </dd>
      ))}
    </dl>
  )
}
