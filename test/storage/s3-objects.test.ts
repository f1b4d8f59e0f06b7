import { join } from 'node:path'
import { describe } from 'vitest'
import { openS3Objects } from '../../src/storage/index.ts'
import { objectsContract } from '../contracts/objects.contract.ts'
import { noS3Server, optionsFor, startS3 } from '../helpers/s3.ts'
import { tempFolder } from '../helpers/folder.ts'

describe.skipIf(noS3Server !== null)(`objects on S3${noS3Server === null ? '' : ` (skipped: ${noS3Server})`}`, async () => {
  if (noS3Server !== null) return
  const server = await startS3()
  const folder = join(tempFolder(), 'cache')
  const options = { ...optionsFor(server), cache: { folder, limitBytes: 1e9 } }
  objectsContract('S3, a bucket a layer', () => openS3Objects(options))
  objectsContract('S3, below one bucket', () => openS3Objects({ ...options, bucket: 'company-lake', prefix: '/some/where/' }))
})
