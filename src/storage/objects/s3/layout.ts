/**
 * Where an object lies on S3: path `bucket/key` is `s3://bucket/key`, or everything lies below one bucket, and a prefix in it when
 * wanted: `s3://company-lake/prefix/bucket/key`.
 */
import { checkPath } from '../paths.ts'

export interface Layout {
  /** The one bucket that holds everything; null when an object path names its bucket. */
  readonly bucket: string | null
  locate(path: string): Location
  /** The object path of a key; null for keys that are none of ours. */
  pathOf(bucket: string, key: string): string | null
  /** `s3://...`, percent-encoded. */
  uri(path: string): string
  pathOfUri(uri: string): string | null
}

export interface Location {
  readonly bucket: string
  readonly key: string
}

/** `prefix` is without slashes at its ends, and empty where there is none. */
export function layoutOf(bucket: string | null, prefix: string): Layout {
  const start = prefix === '' ? '' : `${prefix}/`
  const locate = (path: string): Location => {
    if (bucket !== null) return { bucket, key: start + path }
    const cut = path.indexOf('/')
    return cut < 0 ? { bucket: path, key: '' } : { bucket: path.slice(0, cut), key: path.slice(cut + 1) }
  }
  const pathOf = (from: string, key: string): string | null => {
    if (bucket === null) return ordinary(`${from}/${key}`)
    return from === bucket && key.startsWith(start) ? ordinary(key.slice(start.length)) : null
  }
  return {
    bucket,
    locate,
    pathOf,
    uri(path) {
      const at = locate(path)
      return `s3://${at.bucket}/${at.key.split('/').map(encodeURIComponent).join('/')}`
    },
    pathOfUri(uri) {
      const [, from, rest] = /^s3[an]?:\/\/([^/?#]+)\/(.+)$/i.exec(uri) ?? []
      if (from === undefined || rest === undefined) return null
      try {
        return pathOf(from, decodeURIComponent(rest))
      } catch {
        return null
      }
    },
  }
}

/** Null for what is no path of an object, such as the markers of folders that some tools leave, and for an adapter's own files. */
function ordinary(path: string): string | null {
  try {
    checkPath(path)
    return path
  } catch {
    return null
  }
}
