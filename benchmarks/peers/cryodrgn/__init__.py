"""cryoDRGN 4.3.1, as published, on temporem's datasets.

Conventions. cryoDRGN reads our ``particles.star`` as it is: RELION's Euler angles and origins mean
the same to both. Its CTF is the negative of ours (ours is RELION's, +w at s = 0), and by default it
also inverts the images. Two minus signs cancel, so its default inversion gives volumes with bright
molecules, as ours; ``--uninvert-data`` would give negative ones. The command ``check`` measures all
this: both programs back-project the same frames with the same poses, and their volumes must agree.

Its volumes come in units of their own. Every measure of the evaluation ignores a common scale (FSC
and motion correlation by definition, PSNR and SSIM through their fit of intensities), so none is
applied.
"""
