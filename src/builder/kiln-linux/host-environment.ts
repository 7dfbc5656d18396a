/** mke2fs, debugfs and their like lie in sbin, which is not on every user's path. Messages are read in English. */
export const hostEnvironment: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${process.env.PATH ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`,
  LC_ALL: 'C',
}
