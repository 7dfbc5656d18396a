import { readdir } from 'node:fs/promises'

/** The ids of all VPCs that have a folder. */
export async function vpcFolders(networksDir: string): Promise<string[]> {
  const entries = await readdir(networksDir, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory() && entry.name.startsWith('vpc-')).map((entry) => entry.name)
}
