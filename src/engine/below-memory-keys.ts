/** Keys of the configuration that are about what lies below RAM. */
export const DISK_KEYS = [
  'maxDiskBytes',
  'maxFlushes',
  'walBytesMax',
  'scrubInterval',
  'scrubBytesPerSecond',
] as const
export const ARCHIVE_KEYS = [
  'maxUploadBytesPerSecond',
  'maxUploads',
  'maxCacheBytes',
  'fenceCheckInterval',
] as const
/** Where it lies. */
export const PLACE_KEYS = ['dataDir', 'archive', 's3'] as const

export type BelowMemoryKey = (typeof DISK_KEYS | typeof ARCHIVE_KEYS | typeof PLACE_KEYS)[number]
