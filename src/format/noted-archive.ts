/** The archive that a directory remembers, in an edit: `{"url","endpoint","region","forcePathStyle"}`. */
import type { JsonFields } from './json-fields.ts'
import type { NotedArchive } from './manifest.ts'

export function notedArchiveJson(archive: NotedArchive): unknown {
  const { url, endpoint, region, forcePathStyle } = archive
  return { url, endpoint, region, forcePathStyle }
}

export function notedArchiveOf(fields: JsonFields): NotedArchive {
  const noted = {
    url: fields.text('url'),
    endpoint: fields.textOrNull('endpoint'),
    region: fields.textOrNull('region'),
    forcePathStyle: fields.booleanOrNull('forcePathStyle'),
  }
  fields.end()
  return noted
}
