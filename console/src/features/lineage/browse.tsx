/** Everything that the project declares, to choose where a graph begins. */
import { Button } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { assetPagesQuery, type AssetSummary } from '../../api/index.ts'
import { assetKinds } from '../../app/search.ts'
import { Find } from '../../ui/filters.tsx'
import { kindIcons, tierOf } from '../../ui/assets.ts'
import { Choice, PageHead, Tag } from '../../ui/parts.tsx'
import { Empty, Failure, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'

const route = getRouteApi('/lineage')

export function Browse() {
  const { say } = useWords()
  const { q, kind } = route.useSearch()
  const navigate = route.useNavigate()
  const [text, setText] = useState(q ?? '')
  const [settled] = useDebouncedValue(text, 150)
  const pages = useInfiniteQuery(assetPagesQuery({ search: q, kind }))
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  const filtered = q !== undefined || kind !== undefined

  useEffect(() => {
    void navigate({ search: (old) => ({ ...old, q: settled.trim() === '' ? undefined : settled }), replace: true })
  }, [settled, navigate])

  return (
    <>
      <PageHead title={say('lineage.title')} sub={say('lineage.sub')} />
      <section className="panel" aria-label={say('lineage.assets')}>
        <div className="panel-head list-filters">
          <Find label={say('lineage.find')} value={text} onChange={setText} />
          <Choice
            label={say('lineage.kind')}
            value={kind ?? 'all'}
            options={[{ value: 'all', label: say('lake.tier.all') }, ...assetKinds.map((value) => ({ value, label: say(`asset.${value}`) }))]}
            onChange={(next) => void navigate({ search: (old) => ({ ...old, kind: next === 'all' ? undefined : next }), replace: true })}
          />
        </div>
        {pages.isPending ? (
          <LoadingRows rows={10} />
        ) : pages.isError ? (
          <Failure error={pages.error} onRetry={() => void pages.refetch()} />
        ) : items.length === 0 ? (
          filtered ? (
            <Empty
              title={say('lineage.nothing')}
              actions={
                <Link to="/lineage" className="action-link" onClick={() => setText('')}>
                  {say('lake.clear')}
                </Link>
              }
            />
          ) : (
            <Empty title={say('movement.empty.title')}>{say('movement.empty.text')}</Empty>
          )
        ) : (
          <ul className="assets">
            {items.map((asset) => (
              <AssetRow key={asset.id} asset={asset} />
            ))}
          </ul>
        )}
        {pages.hasNextPage && (
          <div className="more">
            <Button loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
              {say('lineage.moreAssets')}
            </Button>
          </div>
        )}
      </section>
    </>
  )
}

function AssetRow({ asset }: { asset: AssetSummary }) {
  const { say } = useWords()
  const tier = tierOf(asset.id)
  const Icon = kindIcons[asset.kind]
  return (
    <li className="row asset">
      <Tag kind={tier ?? 'plain'}>
        <Icon aria-hidden size={12} />
        {tier === undefined ? say(`asset.${asset.kind}`) : say('asset.tableOf', { tier: say(`tier.${tier}`) })}
      </Tag>
      <div className="what">
        <Link to="/lineage" search={{ asset: asset.id }} className="link">
          {asset.name}
        </Link>
        {asset.matched.length > 0 && (
          <span className="matched">
            {asset.matched.slice(0, 4).map((column) => (
              <Link key={column} to="/lineage" search={{ asset: asset.id, column }} className="link mono">
                .{column}
              </Link>
            ))}
          </span>
        )}
        {asset.description !== undefined && <div className="quiet small">{asset.description}</div>}
      </div>
      <div className="right">
        {asset.tags.map((tag) => (
          <span key={tag}>#{tag}</span>
        ))}
        {asset.owner !== undefined && <span>{asset.owner}</span>}
        {asset.columns > 0 && <span className="asset-columns">{say('lineage.columns', { n: asset.columns })}</span>}
      </div>
    </li>
  )
}
